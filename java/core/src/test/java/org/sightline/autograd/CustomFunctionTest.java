package org.sightline.autograd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class CustomFunctionTest {
  private PointerScope scope;

  @BeforeEach
  void seed() {
    scope = new PointerScope();
    torch.manual_seed(7);
  }

  @AfterEach
  void closeScopeAndCheckLeaks() {
    scope.close();
    assertEquals(0, FunctionNode.alive(), "graph nodes left behind");
    assertEquals(0, GraphToken.alive(), "graph tokens left behind");
  }

  /** x wᵀ, with everything recorded that the tests ask about. */
  private static final class MatMul extends CustomFunction {
    int backwards;

    @Override
    protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
      context.save(inputs.get(0), inputs.get(1));
      return List.of(inputs.get(0).mm(inputs.get(1).t()));
    }

    @Override
    protected List<Tensor> backward(FunctionContext context, List<Tensor> gradients) {
      backwards++;
      Tensor dy = gradients.get(0);
      return Arrays.asList(
          context.needsGradient(0) ? dy.mm(context.saved(1)) : null,
          context.needsGradient(1) ? dy.t().mm(context.saved(0)) : null);
    }
  }

  /** (x + y, x · y, rounded x as int64): several outputs, one of them without gradient. */
  private static final class SumAndProduct extends CustomFunction {
    @Override
    protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
      Tensor x = inputs.get(0);
      Tensor y = inputs.get(1);
      context.save(x, y);
      return List.of(x.add(y), x.round().to(ScalarType.Long), x.mul(y));
    }

    @Override
    protected List<Tensor> backward(FunctionContext context, List<Tensor> gradients) {
      Tensor sum = gradients.get(0);
      Tensor product = gradients.get(2);
      return List.of(
          sum.add(product.mul(context.saved(1))), sum.add(product.mul(context.saved(0))));
    }
  }

  private static Tensor leaf(long... shape) {
    return torch.randn(shape).set_requires_grad(true);
  }

  private static void backward(Tensor loss, boolean retainGraph) {
    backward(loss, retainGraph, false);
  }

  private static void backward(Tensor loss, boolean retainGraph, boolean createGraph) {
    torch.backward(
        new TensorVector(loss),
        new TensorVector(),
        new BoolOptional(retainGraph),
        createGraph,
        new TensorVector());
  }

  private static void assertSame(Tensor expected, Tensor actual) {
    assertTrue(actual.defined(), "gradient is undefined");
    assertTrue(torch.equal(expected, actual), "tensors differ");
  }

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
  void survivesGarbageCollectionAndClosedScopesBeforeBackward() throws InterruptedException {
    Tensor x = leaf(5, 3);
    Tensor w = leaf(4, 3);
    Tensor loss;
    try (PointerScope inner = new PointerScope()) {
      loss = new MatMul().apply(x, w).get(0).sum();
      loss.retainReference();
      inner.attach(loss);
    }
    for (int i = 0; i < 5; i++) {
      System.gc();
      Thread.sleep(20);
    }
    loss.backward();
    loss.close();
    assertSame(torch.ones(5, 4).mm(w.detach()), x.grad());
  }

  @Test
  void worksWithoutAnyScope() throws InterruptedException {
    scope.close();
    Tensor x = leaf(5, 3);
    Tensor w = leaf(4, 3);
    Tensor y = new MatMul().apply(x, w).get(0);
    Tensor loss = y.sum();
    System.gc();
    Thread.sleep(20);
    loss.backward();
    assertSame(torch.ones(5, 4).mm(w.detach()), x.grad());
    y.close();
    loss.close();
    scope = new PointerScope();
    for (int i = 0; i < 50 && FunctionNode.alive() > 0; i++) {
      System.gc();
      Thread.sleep(20);
    }
  }

  @Test
  void walksARetainedGraphTwice() {
    Tensor x = leaf(5, 3);
    Tensor w = leaf(4, 3);
    MatMul mm = new MatMul();
    Tensor loss = mm.apply(x, w).get(0).sum();
    backward(loss, true);
    Tensor once = x.grad().clone();
    backward(loss, false);
    assertEquals(2, mm.backwards);
    assertSame(once.mul(new Scalar(2f)), x.grad());
    RuntimeException freed = assertThrows(RuntimeException.class, () -> backward(loss, false));
    assertTrue(freed.getMessage().contains("already been freed"), freed.getMessage());
    assertTrue(freed.getMessage().contains("MatMul"), freed.getMessage());
  }

  @Test
  void savedTensorsAreFreedByTheWalkAndNotBefore() {
    Tensor x = leaf(5, 3);
    Tensor w = leaf(4, 3);
    List<FunctionContext> contexts = new ArrayList<>();
    boolean[] closed = new boolean[1];
    CustomFunction keeping =
        new CustomFunction() {
          @Override
          protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
            contexts.add(context);
            context.state((AutoCloseable) () -> closed[0] = true);
            context.save(inputs.get(1));
            return List.of(inputs.get(0).mm(inputs.get(1).t()));
          }

          @Override
          protected List<Tensor> backward(FunctionContext context, List<Tensor> gradients) {
            return Arrays.asList(gradients.get(0).mm(context.saved(0)), null);
          }
        };
    Tensor loss = keeping.apply(x, w).get(0).sum();
    backward(loss, true);
    assertFalse(closed[0]);
    backward(loss, false);
    assertTrue(closed[0], "state is closed by a walk without retain_graph");
    IllegalStateException gone =
        assertThrows(IllegalStateException.class, () -> contexts.get(0).saved(0));
    assertTrue(gone.getMessage().contains("retain_graph"), gone.getMessage());
    assertFalse(w.grad().defined(), "a null gradient leaves .grad alone");
  }

  @Test
  void droppingTheGraphFreesEverything() {
    boolean[] closed = new boolean[1];
    try (PointerScope inner = new PointerScope()) {
      Tensor x = leaf(5, 3);
      assertFalse(closed[0]);
      CustomFunction identity =
          new CustomFunction() {
            @Override
            protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
              context.state((AutoCloseable) () -> closed[0] = true);
              return inputs;
            }

            @Override
            protected List<Tensor> backward(FunctionContext context, List<Tensor> gradients) {
              return gradients;
            }
          };
      assertTrue(identity.apply(x).get(0).sum().requires_grad());
      assertEquals(1, FunctionNode.alive());
    }
    assertTrue(closed[0]);
    assertEquals(0, FunctionNode.alive());
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

  private CustomFunction returning(List<Tensor> gradients) {
    return new CustomFunction() {
      @Override
      protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
        return List.of(inputs.get(0).mul(inputs.get(1)));
      }

      @Override
      protected List<Tensor> backward(FunctionContext context, List<Tensor> upstream) {
        return gradients;
      }

      @Override
      protected String name() {
        return "Wrong";
      }
    };
  }

  private String failureOf(CustomFunction function) {
    Tensor loss = function.apply(leaf(2, 3), leaf(2, 3)).get(0).sum();
    return assertThrows(RuntimeException.class, loss::backward).getMessage();
  }

  @Test
  void wrongGradientsAreNamed() {
    String shape = failureOf(returning(List.of(torch.ones(2, 3), torch.ones(3, 2))));
    assertTrue(
        shape.contains(
            "Wrong.backward: gradient of input 1 must be Float[2, 3] on cpu, found Float[3, 2] on"
                + " cpu"),
        shape);
    String dtype =
        failureOf(returning(List.of(torch.ones(2, 3).to(ScalarType.Double), torch.ones(2, 3))));
    assertTrue(
        dtype.contains("input 0 must be Float[2, 3] on cpu, found Double[2, 3] on cpu"), dtype);
    String count = failureOf(returning(List.of(torch.ones(2, 3))));
    assertTrue(count.contains("one gradient per input: expected 2, found 1"), count);
    String none = failureOf(returning(null));
    assertTrue(none.contains("expected 2, found null"), none);
  }

  @Test
  void exceptionsOfBackwardReachTheCaller() {
    CustomFunction failing =
        new CustomFunction() {
          @Override
          protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
            return List.of(inputs.get(0).neg());
          }

          @Override
          protected List<Tensor> backward(FunctionContext context, List<Tensor> gradients) {
            throw new IllegalArgumentException("the kernel said no");
          }
        };
    Tensor x = leaf(3);
    Tensor loss = failing.apply(x).get(0).sum();
    RuntimeException e = assertThrows(RuntimeException.class, loss::backward);
    assertTrue(e.getMessage().contains("the kernel said no"), e.getMessage());
    assertTrue(e.getMessage().contains("IllegalArgumentException"), e.getMessage());
    x.mul(new Scalar(2f)).sum().backward();
    assertSame(torch.full(new long[] {3}, new Scalar(2f)), x.grad());
  }

  @Test
  void exceptionsOfForwardLeaveNothingBehind() {
    CustomFunction failing =
        new CustomFunction() {
          @Override
          protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
            context.save(inputs.get(0));
            throw new IllegalStateException("no forward");
          }

          @Override
          protected List<Tensor> backward(FunctionContext context, List<Tensor> gradients) {
            return gradients;
          }
        };
    Tensor x = leaf(3);
    IllegalStateException e = assertThrows(IllegalStateException.class, () -> failing.apply(x));
    assertEquals("no forward", e.getMessage());
    assertTrue(torch.isnan(x).logical_not().all().item_bool());
  }

  @Test
  void secondOrderIsRefused() {
    Tensor x = leaf(5, 3);
    Tensor w = leaf(4, 3);
    Tensor loss = new MatMul().apply(x, w).get(0).sum();
    RuntimeException e = assertThrows(RuntimeException.class, () -> backward(loss, true, true));
    assertTrue(e.getMessage().contains("not differentiable"), e.getMessage());
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
