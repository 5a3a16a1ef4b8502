package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.sightline.Refusals.assertMessage;

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
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@link LoraLinear} as an object: merging, closing, threads, wrong arguments. */
class LoraLinearUseTest extends LoraLinearFixture {
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
    assertMessage(
        "alpha must be finite, found NaN, of rank 1 a scale of NaN in float32",
        () -> LoraConfig.of(1, Double.NaN));
    assertEquals(4, LoraConfig.of(4, 16).scale());
    assertEquals(8, new LoraConfig(4, 16, 0, true, LoraInit.GAUSSIAN).scale());
  }
}
