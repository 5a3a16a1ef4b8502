package org.sightline.autograd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;

class CustomFunctionTest extends CustomFunctionFixture {
  @Test
  void gradientsOfLeavesAreLibtorchs() {
    Tensor x = leaf(5, 3);
    Tensor w = leaf(4, 3);
    new MatMul().apply(x, w).get(0).sin().sum().backward();
    Tensor gx = x.grad().clone();
    Tensor gw = w.grad().clone();
    x.mutable_grad().zero_();
    w.mutable_grad().zero_();
    x.mm(w.t()).sin().sum().backward();
    assertSame(x.grad(), gx);
    assertSame(w.grad(), gw);
  }

  @Test
  void worksOnNonLeavesNestedAndFannedOut() {
    Tensor x = leaf(5, 4);
    Tensor w = leaf(4, 4);
    MatMul mm = new MatMul();
    Tensor h = mm.apply(x.tanh(), w.mul(new Scalar(0.5f))).get(0);
    Tensor y = mm.apply(h, w).get(0);
    y.mul(h).add(h.cos()).sum().backward();
    assertEquals(2, mm.backwards);
    Tensor gx = x.grad().clone();
    Tensor gw = w.grad().clone();
    x.mutable_grad().zero_();
    w.mutable_grad().zero_();
    Tensor h2 = x.tanh().mm(w.mul(new Scalar(0.5f)).t());
    Tensor y2 = h2.mm(w.t());
    y2.mul(h2).add(h2.cos()).sum().backward();
    assertTrue(torch.allclose(x.grad(), gx, 1e-5, 1e-6, false));
    assertTrue(torch.allclose(w.grad(), gw, 1e-5, 1e-6, false));
  }

  @Test
  void functionMayCallAnotherInItsForward() {
    CustomFunction outer =
        new CustomFunction() {
          @Override
          protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
            context.save(inputs.get(0), inputs.get(1));
            return new MatMul().apply(inputs.get(0), inputs.get(1));
          }

          @Override
          protected List<Tensor> backward(FunctionContext context, List<Tensor> gradients) {
            return List.of(
                gradients.get(0).mm(context.saved(1)), gradients.get(0).t().mm(context.saved(0)));
          }
        };
    Tensor x = leaf(2, 3);
    Tensor w = leaf(4, 3);
    outer.apply(x, w).get(0).sum().backward();
    assertSame(torch.ones(2, 4).mm(w.detach()), x.grad());
  }

  @Test
  void severalOutputsEachCarryTheirGradient() {
    Tensor x = leaf(6);
    Tensor y = leaf(6);
    List<Tensor> out = new SumAndProduct().apply(x, y);
    assertFalse(out.get(1).requires_grad());
    out.get(0).mul(new Scalar(3f)).add(out.get(2)).sum().backward();
    assertSame(y.detach().add(new Scalar(3f)), x.grad());
    assertSame(x.detach().add(new Scalar(3f)), y.grad());
  }

  @Test
  void anOutputThatDoesNotContributeHasZeroGradient() {
    Tensor x = leaf(6);
    Tensor y = leaf(6);
    new SumAndProduct().apply(x, y).get(2).sum().backward();
    assertSame(y.detach(), x.grad());
  }

  @Test
  void materializedZerosAndGradientsAreOfEveryFloatingType() {
    for (ScalarType type :
        new ScalarType[] {
          ScalarType.Float,
          ScalarType.Double,
          ScalarType.Half,
          ScalarType.BFloat16,
          ScalarType.ComplexFloat,
          ScalarType.ComplexDouble
        }) {
      Tensor x = torch.ones(3).to(type).set_requires_grad(true);
      boolean[] zeros = new boolean[1];
      List<Tensor> out =
          function(
                  (context, inputs) ->
                      List.of(inputs.get(0).neg(), inputs.get(0).add(inputs.get(0))),
                  (context, gradients) -> {
                    Tensor unused = gradients.get(1);
                    zeros[0] = unused.equal(torch.zeros(3).to(type));
                    assertEquals(type, unused.scalar_type().intern());
                    return List.of(gradients.get(0).neg());
                  })
              .apply(x);
      out.get(0).abs().sum().backward();
      assertTrue(out.get(1).requires_grad(), type::toString);
      assertTrue(zeros[0], type::toString);
      assertSame(torch.ones(3).to(type), x.grad());
    }
  }

  @Test
  void gradientsThatAreNotMaterializedAreNull() {
    Tensor x = leaf(3);
    List<Tensor> given = new ArrayList<>();
    function(
            (context, inputs) -> {
              context.materializeGradients(false);
              return List.of(inputs.get(0).neg(), inputs.get(0).exp());
            },
            (context, gradients) -> {
              given.addAll(gradients);
              return List.of(gradients.get(0).neg());
            })
        .apply(x)
        .get(0)
        .sum()
        .backward();
    assertEquals(2, given.size());
    assertNull(given.get(1));
    assertSame(torch.ones(3).neg(), x.grad());
  }

  @Test
  void withoutAGradientFromAboveNothingRuns() {
    Tensor x = leaf(5, 3);
    MatMul mm = new MatMul();
    Tensor h = mm.apply(x, leaf(4, 3)).get(0);
    function((context, inputs) -> inputs, (context, gradients) -> Collections.singletonList(null))
        .apply(h)
        .get(0)
        .sum()
        .backward();
    assertEquals(0, mm.backwards);
    assertFalse(x.grad().defined());
  }

  @Test
  void anInputMayBeOneOfSeveralOutputs() {
    Tensor x = leaf(2, 3);
    Tensor w = leaf(4, 3);
    Tensor second = x.mul(new Scalar(1f)).chunk(2, 0).get(1);
    new MatMul().apply(second, w).get(0).sum().backward();
    assertSame(torch.zeros(3), x.grad().select(0, 0));
    assertSame(torch.ones(1, 4).mm(w.detach()).select(0, 0), x.grad().select(0, 1));
  }

  @Test
  void aLeafTakesItsGradientOverWithoutACopy() {
    Tensor x = leaf(3);
    long[] address = new long[1];
    Tensor y =
        function(
                (context, inputs) -> inputs,
                (context, gradients) -> {
                  address[0] = gradients.get(0).data_ptr().address();
                  return gradients;
                })
            .apply(x)
            .get(0);
    y.mul(torch.randn(3)).sum().backward();
    assertEquals(address[0], x.grad().data_ptr().address());
  }

  @Test
  void forwardRunsOnDetachedInputsWithoutRecording() {
    boolean[] recorded = new boolean[2];
    function(
            (context, inputs) -> {
              recorded[0] = GradMode.is_enabled();
              recorded[1] = inputs.get(0).requires_grad();
              return inputs;
            },
            (context, gradients) -> gradients)
        .apply(leaf(3));
    assertFalse(recorded[0]);
    assertFalse(recorded[1]);
  }

  @Test
  void recordsNothingWithoutNeed() {
    Tensor x = leaf(5, 3);
    Tensor w = leaf(4, 3);
    NoGradGuard noGrad = new NoGradGuard();
    Tensor y = new MatMul().apply(x, w).get(0);
    noGrad.close();
    assertFalse(y.requires_grad());
    Tensor z = new MatMul().apply(x.detach(), w.detach()).get(0);
    assertFalse(z.requires_grad());
    assertSame(y, z);
    assertEquals(0, FunctionNode.alive());
  }

  @Test
  void onlyInputsThatNeedItGetAGradient() {
    Tensor x = torch.randn(5, 3);
    Tensor w = leaf(4, 3);
    new MatMul().apply(x, w).get(0).sum().backward();
    assertFalse(x.grad().defined());
    assertSame(torch.ones(5, 4).t().mm(x), w.grad());
  }

  @Test
  void gradientsOfChosenInputsThroughTorchGrad() {
    Tensor x = leaf(5, 3);
    Tensor w = leaf(4, 3);
    Tensor loss = new MatMul().apply(x, w).get(0).sum();
    TensorVector grads = torch.grad(new TensorVector(loss), new TensorVector(w));
    assertSame(torch.ones(5, 4).t().mm(x.detach()), grads.get(0));
    assertFalse(x.grad().defined());
  }

  @Test
  void theSameInputTwiceAddsUp() {
    Tensor x = leaf(3, 3);
    new MatMul().apply(x, x).get(0).sum().backward();
    Tensor ones = torch.ones(3, 3);
    assertTrue(
        torch.allclose(ones.mm(x.detach()).add(ones.t().mm(x.detach())), x.grad(), 1e-6, 0, false));
  }

  @Test
  void worksFromSeveralThreads() throws InterruptedException {
    List<Throwable> failures = new ArrayList<>();
    List<Thread> threads = new ArrayList<>();
    for (int t = 0; t < 4; t++) {
      Thread thread =
          new Thread(
              () -> {
                for (int i = 0; i < 50; i++) {
                  try (PointerScope inner = new PointerScope()) {
                    Tensor x = leaf(5, 3);
                    Tensor w = leaf(4, 3);
                    new MatMul().apply(x, w).get(0).sum().backward();
                    assertSame(torch.ones(5, 4).mm(w.detach()), x.grad());
                  }
                }
              });
      thread.setUncaughtExceptionHandler(
          (at, failure) -> {
            synchronized (failures) {
              failures.add(failure);
            }
          });
      threads.add(thread);
    }
    threads.forEach(Thread::start);
    for (Thread thread : threads) {
      thread.join();
    }
    assertEquals(List.of(), failures);
  }
}
