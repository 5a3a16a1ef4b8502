package org.sightline.benchmarks;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Which way through a bf16 task is libtorch's fastest: its bf16 products, or fp32 ones on operands
 * converted beforehand. Without AVX-512 its bf16 ones fall to plain loops, 0.3 GFLOP/s where fp32
 * runs at 60; with it oneDNN's win at large sizes and lose at small ones.
 */
final class Bf16Products {
  /** Rows at which plain loops are told from products, before minutes are spent in them. */
  private static final long FEW_ROWS = 8;

  private static final double PLAIN_LOOPS = 20;
  private static final int TIMES = 5;

  private record Size(long m, long n, long k) {}

  private static final Map<Size, Boolean> DECIDED = new ConcurrentHashMap<>();

  private Bf16Products() {}

  /**
   * Whether rivals compute a task in this precision in fp32: its main product is [m,k] by [n,k].
   */
  static boolean rivalsUseFp32(Precision precision, long m, long n, long k) {
    return precision == Precision.BF16
        && !Torch.onCuda()
        && DECIDED.computeIfAbsent(new Size(m, n, k), Bf16Products::fp32IsFaster);
  }

  private static boolean fp32IsFaster(Size size) {
    Size few = new Size(Math.min(size.m(), FEW_ROWS), size.n(), size.k());
    return ratio(few, 1) > PLAIN_LOOPS || ratio(size, TIMES) > 1;
  }

  /** The time of bf16 products over that of fp32 ones. */
  private static double ratio(Size size, int times) {
    return seconds(ScalarType.BFloat16, size, times) / seconds(ScalarType.Float, size, times);
  }

  /** Of a product as the forward pass has it and one as the backward pass: the best of each. */
  private static double seconds(ScalarType dtype, Size size, int times) {
    try (PointerScope scope = new PointerScope()) {
      Tensor x = Torch.randn(1, dtype, size.m(), size.k());
      Tensor y = Torch.randn(1, dtype, size.m(), size.n());
      Tensor w = Torch.randn(1, dtype, size.n(), size.k());
      Tensor transposed = w.t();
      return best(times, () -> torch.mm_out(y, x, transposed))
          + best(times, () -> torch.mm_out(x, y, w));
    }
  }

  private static double best(int times, Runnable product) {
    double best = Double.POSITIVE_INFINITY;
    for (int i = 0; i <= times; i++) { // the first one warms up
      long start = System.nanoTime();
      product.run();
      best = i == 0 ? best : Math.min(best, (System.nanoTime() - start) / 1e9);
    }
    return best;
  }
}
