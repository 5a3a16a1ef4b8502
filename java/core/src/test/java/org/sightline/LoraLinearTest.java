package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.autograd.GradCheck;

class LoraLinearTest extends LoraLinearFixture {
  private static long[] leading(String dims, long last) {
    String[] parts = dims.isEmpty() ? new String[0] : dims.split("x");
    long[] shape = new long[parts.length + 1];
    for (int i = 0; i < parts.length; i++) {
      shape[i] = Long.parseLong(parts[i]);
    }
    shape[parts.length] = last;
    return shape;
  }

  @ParameterizedTest
  @CsvSource({
    // leading dimensions of x, N, K, r, dtype of x, of W, of A and B, bias
    "1,       1,   1,   1,  Float,    Float,    FLOAT32,  true",
    "'',      5,   7,   3,  Float,    Float,    FLOAT32,  true",
    "13,      31,  65,  8,  Float,    Float,    FLOAT32,  false",
    "2x65,    96,  207, 33, Float,    Float,    FLOAT32,  true",
    "2x3x5,   17,  13,  1,  Float,    BFloat16, FLOAT32,  true",
    "2x2x3x5, 17,  13,  64, Float,    Float,    BFLOAT16, false",
    "7x31,    65,  96,  32, BFloat16, BFloat16, BFLOAT16, true",
    "64,      33,  128, 7,  BFloat16, Float,    FLOAT32,  true",
    "300,     128, 64,  16, Float,    Float,    FLOAT32,  false",
  })
  void agreesWithLibtorchInDouble(
      String dims,
      long n,
      long k,
      int rank,
      ScalarType inputType,
      ScalarType weightType,
      DType adapterType,
      boolean bias) {
    Random random = new Random(n * k + rank);
    LoraConfig config = new LoraConfig(rank, 2.5 * rank, 0, false, LoraInit.GAUSSIAN);
    try (LoraLinear linear = layer(random, n, k, weightType, bias, config, adapterType)) {
      long[] shape = leading(dims.trim(), k);
      Tensor x = Oracle.activations(random, inputType, shape).set_requires_grad(true);
      Tensor y = linear.forward(x);
      Tensor direction = Oracle.normal(random, inputType, 1, Tensors.shape(y));
      y.mul(direction).sum().backward();

      Tensor wideX = Oracle.wide(x);
      Tensor a = Oracle.wide(linear.loraA());
      Tensor b = Oracle.wide(linear.loraB());
      Tensor wideY = expected(linear, wideX, a, b);
      wideY.mul(direction.to(ScalarType.Double)).sum().backward();
      boolean low = inputType == ScalarType.BFloat16;
      double tolerance = Oracle.tolerance(low);
      Oracle.assertClose(wideY, y, tolerance, "y");
      Oracle.assertClose(wideX.grad(), x.grad(), tolerance, "dx");
      double adapter = Oracle.tolerance(low || adapterType == DType.BFLOAT16);
      Oracle.assertClose(a.grad(), linear.loraA().grad(), adapter, "dA");
      Oracle.assertClose(b.grad(), linear.loraB().grad(), adapter, "dB");
      assertEquals(inputType, Tensors.dtype(y));
      assertFalse(linear.weight().grad().defined());
    }
  }

  @ParameterizedTest
  @ValueSource(doubles = {0, 0.4})
  void passesGradCheck(double dropout) {
    Tensor weight = torch.randn(6, 5);
    LoraConfig config = new LoraConfig(3, 6, dropout, true, LoraInit.KAIMING_UNIFORM);
    Tensor b = torch.randn(6, 3).set_requires_grad(true);
    Tensor a = torch.randn(3, 5).set_requires_grad(true);
    GradCheck.check(
        given -> {
          LoraFunction function =
              new LoraFunction(
                  List.of(
                      new NativeLora.Adapter(
                          weight, null, given.get(1), given.get(2), config.scale(), 77)),
                  dropout);
          return function.of(given.get(0));
        },
        List.of(torch.randn(2, 4, 5).set_requires_grad(true), a, b),
        GradCheck.Options.float32());
  }

  @Test
  void takesStridedViewsOfInputAndGradient() {
    Random random = new Random(4);
    try (LoraLinear linear =
        layer(random, 9, 8, ScalarType.Float, true, LoraConfig.of(4, 8), DType.FLOAT32)) {
      Tensor rows = torch.randn(3, 12, 10).narrow(2, 1, 8).narrow(1, 2, 5);
      Tensor columns = torch.randn(3, 8, 5).transpose(1, 2);
      Tensor four = torch.randn(2, 5, 3, 8).permute(2, 0, 1, 3);
      for (Tensor view : List.of(rows, columns, four)) {
        Tensor strided = view.detach().set_requires_grad(true);
        Tensor compact = view.contiguous().clone().set_requires_grad(true);
        Tensor y1 = linear.forward(strided);
        Tensor y2 = linear.forward(compact);
        assertTrue(torch.equal(y1, y2));
        Tensor dy = torch.randn(Tensors.shape(y1));
        y1.transpose(0, 1).mul(dy.transpose(0, 1)).sum().backward(); // rows apart
        Tensor da = linear.loraA().grad().clone();
        linear.loraA().mutable_grad().zero_();
        y2.mul(dy).sum().backward();
        assertTrue(torch.equal(compact.grad(), strided.grad()));
        assertTrue(torch.equal(da, linear.loraA().grad()));
        linear.forward(strided).sum().backward(); // a gradient with strides of 0
        linear.loraA().mutable_grad().zero_();
      }
    }
  }

  @Test
  void gradientsOfSeveralUsesAddUp() {
    Random random = new Random(5);
    try (LoraLinear linear =
        layer(random, 6, 6, ScalarType.Float, true, LoraConfig.of(3, 3), DType.FLOAT32)) {
      Tensor x = torch.randn(4, 6).set_requires_grad(true);
      Tensor y = linear.forward(x.tanh());
      linear.forward(y).add(y).mul(x).sum().backward();
      Tensor wideX = Oracle.wide(x);
      Tensor a = Oracle.wide(linear.loraA());
      Tensor b = Oracle.wide(linear.loraB());
      Tensor wideY = expected(linear, wideX.tanh(), a, b);
      expected(linear, wideY, a, b).add(wideY).mul(wideX).sum().backward();
      Oracle.assertClose(wideX.grad(), x.grad(), 1e-5, "dx");
      Oracle.assertClose(a.grad(), linear.loraA().grad(), 1e-5, "dA");
      Oracle.assertClose(b.grad(), linear.loraB().grad(), 1e-5, "dB");
    }
  }

  @Test
  void onlyWhatIsNeededGetsAGradient() {
    Random random = new Random(6);
    try (LoraLinear linear =
        layer(random, 6, 5, ScalarType.Float, true, LoraConfig.of(3, 3), DType.FLOAT32)) {
      Tensor x = torch.randn(4, 5);
      linear.forward(x).sum().backward();
      assertFalse(x.grad().defined());
      assertTrue(linear.loraA().grad().defined());
      linear.loraA().set_requires_grad(false);
      linear.loraB().set_requires_grad(false);
      assertFalse(linear.forward(x).requires_grad());
      Tensor needs = x.clone().set_requires_grad(true);
      linear.forward(needs).sum().backward();
      assertTrue(needs.grad().defined());
    }
  }

  @Test
  void startsAsThePlainLayer() {
    Tensor weight = torch.randn(6, 40);
    Tensor x = torch.randn(4, 40);
    try (LoraLinear linear = new LoraLinear(weight, null, LoraConfig.of(8, 16), DType.FLOAT32, 1)) {
      Oracle.assertClose(torch.linear(x, weight), linear.forward(x), 1e-6, "y");
      assertEquals(0, linear.loraB().abs().max().item_double());
      double bound = 1 / Math.sqrt(40);
      double largest = linear.loraA().abs().max().item_double();
      assertTrue(largest <= bound && largest > 0.9 * bound, () -> largest + " of " + bound);
    }
    LoraConfig gaussian = new LoraConfig(32, 16, 0, false, LoraInit.GAUSSIAN);
    try (LoraLinear a = new LoraLinear(weight, null, gaussian, DType.FLOAT32, 1);
        LoraLinear b = new LoraLinear(weight, null, gaussian, DType.FLOAT32, 1);
        LoraLinear c = new LoraLinear(weight, null, gaussian, DType.FLOAT32, 2)) {
      assertEquals(1.0 / 32, a.loraA().std(true).item_double(), 0.1 / 32);
      assertTrue(torch.equal(a.loraA(), b.loraA()));
      assertFalse(torch.equal(a.loraA(), c.loraA()));
    }
  }

  @Test
  void dropoutIsDrawnFromTheSeedAndReplayedBackward() {
    long size = 64;
    double p = 0.25;
    LoraConfig config = new LoraConfig((int) size, size, p, false, LoraInit.GAUSSIAN);
    Tensor zero = torch.zeros(size, size);
    try (LoraLinear linear = identity(zero, config, size);
        LoraLinear twin = identity(zero, config, size)) {
      // With W = 0 and A = B = I, y is the dropped input itself.
      Tensor x = torch.rand(100, size).add(new Scalar(0.5)).set_requires_grad(true);
      Tensor y = linear.forward(x);
      Tensor kept = y.detach().ne(new Scalar(0)).to(ScalarType.Float);
      assertEquals(1 - p, kept.mean().item_double(), 0.02);
      Tensor scaled = kept.div(new Scalar(1 - p));
      Oracle.assertClose(x.detach().mul(scaled), y, 1e-6, "y");
      Tensor dy = torch.randn(100, size);
      y.mul(dy).sum().backward();
      Oracle.assertClose(dy.mul(scaled), x.grad(), 1e-6, "dx");
      // dA = dyᵀ... through the same mask: dA = (dy B)ᵀ drop(x)
      Oracle.assertClose(dy.t().mm(y.detach()), linear.loraA().grad(), 1e-5, "dA");

      assertTrue(torch.equal(y, twin.forward(x)), "one seed, one mask");
      assertFalse(torch.equal(y, linear.forward(x)), "a new mask in every call");
      linear.train(false);
      assertTrue(torch.equal(x.detach(), linear.forward(x).detach()));
    }
  }

  private static LoraLinear identity(Tensor weight, LoraConfig config, long size) {
    LoraLinear linear = new LoraLinear(weight, null, config, DType.FLOAT32, 3);
    try (NoGradGuard noGrad = new NoGradGuard()) {
      linear.loraA().copy_(torch.eye(size));
      linear.loraB().copy_(torch.eye(size));
    }
    return linear;
  }
}
