package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.autograd.GradCheck;

class LoraLinearTest {
  private PointerScope scope;

  @BeforeAll
  static void start() {
    Sightline.load();
  }

  @BeforeEach
  void open() {
    scope = new PointerScope();
    torch.manual_seed(13);
  }

  @AfterEach
  void close() {
    scope.close();
  }

  /** A layer whose B is not zero, or its adapter would have no effect. */
  private static LoraLinear layer(
      Random random,
      long n,
      long k,
      ScalarType weightType,
      boolean bias,
      LoraConfig config,
      DType adapterType) {
    LoraLinear linear =
        new LoraLinear(
            Oracle.normal(random, weightType, 0.3, n, k),
            bias ? Oracle.normal(random, weightType, 1, n) : null,
            config,
            adapterType,
            random.nextLong());
    try (NoGradGuard noGrad = new NoGradGuard()) {
      linear.loraB().copy_(Oracle.normal(random, adapterType.scalarType(), 0.5, n, config.rank()));
    }
    return linear;
  }

  private static Tensor expected(LoraLinear linear, Tensor x, Tensor a, Tensor b) {
    Tensor bias = linear.bias() == null ? null : Oracle.wide(linear.bias());
    return Oracle.lora(x, Oracle.wide(linear.weight()), bias, a, b, linear.config().scale());
  }

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
          // A new layer each time: its first call draws the same mask.
          LoraLinear linear = new LoraLinear(weight, null, config, DType.FLOAT32, 9);
          Tensor[] inputs = {given.get(0), given.get(1), given.get(2)};
          LoraFunction function =
              new LoraFunction(
                  List.of(new LoraFunction.Frozen(linear.weight(), null, config.scale(), 77)),
                  dropout);
          List<Tensor> y = function.apply(inputs);
          linear.close();
          return y;
        },
        List.of(torch.randn(2, 4, 5).set_requires_grad(true), a, b),
        GradCheck.Options.float32());
  }

  @Test
  void aStackIsItsLayersOneByOne() {
    Random random = new Random(1);
    List<LoraLinear> linears = new ArrayList<>();
    for (long n : new long[] {12, 7, 33}) {
      LoraConfig config = LoraConfig.of((int) n / 3, 8);
      linears.add(layer(random, n, 17, ScalarType.Float, n != 7, config, DType.FLOAT32));
    }
    Tensor x = torch.randn(3, 5, 17).set_requires_grad(true);
    List<Tensor> together = LoraLinear.forward(x, linears);
    Tensor loss = torch.zeros();
    for (Tensor y : together) {
      loss = loss.add(y.sin().sum());
    }
    loss.backward();
    Tensor wideX = Oracle.wide(x);
    Tensor wideLoss = torch.zeros().to(ScalarType.Double);
    List<Tensor> as = new ArrayList<>();
    List<Tensor> bs = new ArrayList<>();
    for (int i = 0; i < linears.size(); i++) {
      as.add(Oracle.wide(linears.get(i).loraA()));
      bs.add(Oracle.wide(linears.get(i).loraB()));
      Tensor y = expected(linears.get(i), wideX, as.get(i), bs.get(i));
      Oracle.assertClose(y, together.get(i), 1e-5, "y" + i);
      wideLoss = wideLoss.add(y.sin().sum());
    }
    wideLoss.backward();
    Oracle.assertClose(wideX.grad(), x.grad(), 1e-5, "dx");
    for (int i = 0; i < linears.size(); i++) {
      Oracle.assertClose(as.get(i).grad(), linears.get(i).loraA().grad(), 1e-5, "dA" + i);
      Oracle.assertClose(bs.get(i).grad(), linears.get(i).loraB().grad(), 1e-5, "dB" + i);
    }
    linears.forEach(LoraLinear::close);
  }

  @Test
  void anUnusedOutputOfAStackLeavesItsAdapterAlone() {
    Random random = new Random(2);
    LoraConfig config = LoraConfig.of(2, 4);
    try (LoraLinear q = layer(random, 4, 6, ScalarType.Float, false, config, DType.FLOAT32);
        LoraLinear k = layer(random, 5, 6, ScalarType.Float, false, config, DType.FLOAT32)) {
      Tensor x = torch.randn(3, 6).set_requires_grad(true);
      LoraLinear.forward(x, List.of(q, k)).get(1).sum().backward();
      assertFalse(q.loraA().grad().defined());
      Tensor wideX = Oracle.wide(x);
      expected(k, wideX, Oracle.wide(k.loraA()), Oracle.wide(k.loraB())).sum().backward();
      Oracle.assertClose(wideX.grad(), x.grad(), 1e-5, "dx");
    }
  }

  @Test
  void aStackMayMixMergedAndDifferentDropout() {
    Random random = new Random(3);
    LoraConfig plain = LoraConfig.of(2, 4);
    LoraConfig dropping = new LoraConfig(2, 4, 0.5, false, LoraInit.KAIMING_UNIFORM);
    try (LoraLinear q = layer(random, 4, 6, ScalarType.Float, true, plain, DType.FLOAT32);
        LoraLinear k = layer(random, 5, 6, ScalarType.Float, true, dropping, DType.FLOAT32)) {
      Tensor x = torch.randn(3, 6);
      Tensor before = q.forward(x);
      k.train(false);
      Tensor kBefore = k.forward(x);
      k.train(true);
      assertTrue(torch.equal(before, LoraLinear.forward(x, List.of(q, k)).get(0)));
      k.train(false);
      q.merge();
      List<Tensor> mixed = LoraLinear.forward(x, List.of(q, k));
      Oracle.assertClose(before, mixed.get(0), 1e-6, "merged");
      assertTrue(torch.equal(kBefore, mixed.get(1)));
    }
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

  @ParameterizedTest
  @CsvSource({"Float, FLOAT32, 1e-6", "BFloat16, BFLOAT16, 8e-3"})
  void mergesAndUnmerges(ScalarType weightType, DType adapterType, double tolerance) {
    Random random = new Random(7);
    try (LoraLinear linear =
        layer(random, 33, 17, weightType, true, LoraConfig.of(5, 5), adapterType)) {
      Tensor x = torch.randn(9, 17);
      Tensor before = linear.forward(x);
      Tensor weight = linear.weight().clone();
      linear.merge();
      assertTrue(linear.isMerged());
      Oracle.assertClose(before, linear.forward(x), tolerance, "y");
      Tensor delta = linear.loraB().detach().to(ScalarType.Double).mm(Oracle.wide(linear.loraA()));
      Tensor merged = weight.to(ScalarType.Double).add(delta);
      Oracle.assertClose(merged, linear.weight(), tolerance, "merged weight");
      assertThrows(IllegalStateException.class, linear::merge);
      Tensor needs = x.clone().set_requires_grad(true);
      linear.forward(needs).sum().backward();
      Oracle.assertClose(merged.sum(0).expand(9, 17), needs.grad(), tolerance, "dx");
      linear.unmerge();
      assertThrows(IllegalStateException.class, linear::unmerge);
      double ulp = weightType == ScalarType.Float ? 2 * Math.ulp(1f) : Math.pow(2, -7);
      Tensor limit =
          torch.maximum(weight.abs().to(ScalarType.Double), merged.abs()).mul(new Scalar(ulp));
      Tensor off = linear.weight().to(ScalarType.Double).sub(weight.to(ScalarType.Double)).abs();
      assertTrue(off.sub(limit).max().item_double() <= 0, "weight did not return");
    }
  }

  @Test
  void changesBetweenForwardAndBackwardAreNoticed() {
    Random random = new Random(8);
    try (LoraLinear linear =
        layer(random, 6, 5, ScalarType.Float, true, LoraConfig.of(3, 3), DType.FLOAT32)) {
      Tensor x = torch.randn(4, 5).set_requires_grad(true);
      Tensor loss = linear.forward(x).sum();
      try (NoGradGuard noGrad = new NoGradGuard()) {
        linear.loraA().add_(new Scalar(1));
      }
      RuntimeException changed = assertThrows(RuntimeException.class, loss::backward);
      assertTrue(changed.getMessage().contains("changed in place"), changed::getMessage);
      Tensor another = linear.forward(x).sum();
      linear.merge();
      RuntimeException merged = assertThrows(RuntimeException.class, another::backward);
      assertTrue(merged.getMessage().contains("changed in place"), merged::getMessage);
    }
  }

  @Test
  void backwardOutlivesTheLayer() {
    Random random = new Random(9);
    LoraLinear linear =
        layer(random, 6, 5, ScalarType.Float, true, LoraConfig.of(3, 3), DType.FLOAT32);
    Tensor x = torch.randn(4, 5).set_requires_grad(true);
    Tensor loss = linear.forward(x).sum();
    Tensor weight = Oracle.wide(linear.weight());
    Tensor delta = Oracle.wide(linear.loraB()).mm(Oracle.wide(linear.loraA())).detach();
    linear.close();
    loss.backward();
    Oracle.assertClose(weight.add(delta).sum(0).expand(4, 5), x.grad(), 1e-5, "dx");
    IllegalStateException e = assertThrows(IllegalStateException.class, () -> linear.forward(x));
    assertTrue(
        e.getMessage().contains("LoraLinear is closed; it was closed at org.sightline.Lora"),
        e::toString);
    assertThrows(IllegalStateException.class, linear::loraA);
    assertThrows(IllegalStateException.class, linear::merge);
  }

  @Test
  void threadsMayShareALayer() throws Exception {
    Random random = new Random(10);
    try (LoraLinear linear =
        layer(random, 33, 29, ScalarType.Float, true, LoraConfig.of(5, 5), DType.FLOAT32)) {
      Tensor x = torch.randn(17, 29);
      Tensor expected = linear.forward(x).detach();
      ExecutorService pool = Executors.newFixedThreadPool(4);
      List<Future<Boolean>> results = new ArrayList<>();
      for (int t = 0; t < 4; t++) {
        Callable<Boolean> work =
            () -> {
              boolean equal = true;
              for (int i = 0; i < 50; i++) {
                try (PointerScope own = new PointerScope()) {
                  Tensor input = x.clone().set_requires_grad(true);
                  Tensor y = linear.forward(input);
                  torch.grad(new TensorVector(y.sum()), new TensorVector(input));
                  equal &= torch.equal(expected, y.detach());
                }
              }
              return equal;
            };
        results.add(pool.submit(work));
      }
      for (Future<Boolean> result : results) {
        assertTrue(result.get());
      }
      pool.shutdown();
    }
  }

  @Test
  void namesWhatIsWrong() {
    Tensor weight = torch.randn(6, 5);
    LoraConfig config = LoraConfig.of(3, 3);
    assertMessage(
        "weight must be [N,K], found shape [6]",
        () -> new LoraLinear(torch.randn(6), null, config, DType.FLOAT32, 0));
    assertMessage(
        "weight must be Float or BFloat16, found Double",
        () -> new LoraLinear(weight.to(ScalarType.Double), null, config, DType.FLOAT32, 0));
    assertMessage(
        "bias must have shape [6], found [5]",
        () -> new LoraLinear(weight, torch.randn(5), config, DType.FLOAT32, 0));
    try (LoraLinear linear = new LoraLinear(weight, null, config, DType.FLOAT32, 0)) {
      assertMessage(
          "x must have 5 columns as weight has, found shape [2, 4]",
          () -> linear.forward(torch.randn(2, 4)));
      assertMessage(
          "x must be [...,K], found a tensor without dimensions",
          () -> linear.forward(torch.randn()));
      assertMessage(
          "x must be Float or BFloat16, found Double",
          () -> linear.forward(torch.randn(2, 5).to(ScalarType.Double)));
      assertMessage(
          "linears must have at least 1 layer, found none",
          () -> LoraLinear.forward(torch.randn(2, 5), List.of()));
      UnsupportedOperationException meta =
          assertThrows(
              UnsupportedOperationException.class,
              () -> linear.forward(torch.randn(2, 5).to(new Device("meta"), ScalarType.Float)));
      assertEquals("x must be on cpu or cuda, found meta", meta.getMessage());
    }
    assertMessage("rank must be at least 1, found 0", () -> LoraConfig.of(0, 1));
    assertMessage("alpha must be finite, found NaN", () -> LoraConfig.of(1, Double.NaN));
    assertEquals(4, LoraConfig.of(4, 16).scale());
    assertEquals(8, new LoraConfig(4, 16, 0, true, LoraInit.GAUSSIAN).scale());
  }

  private static void assertMessage(String expected, Runnable action) {
    assertEquals(expected, assertThrows(IllegalArgumentException.class, action::run).getMessage());
  }
}
