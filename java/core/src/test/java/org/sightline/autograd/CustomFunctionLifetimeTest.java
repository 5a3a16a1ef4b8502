package org.sightline.autograd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;

/** How long a {@link CustomFunction}'s graph and what it saved live. */
class CustomFunctionLifetimeTest extends CustomFunctionFixture {
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
    List<Tensor> saved = new ArrayList<>();
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
            saved.add(context.saved(0));
            return Arrays.asList(gradients.get(0).mm(context.saved(0)), null);
          }
        };
    Tensor loss = keeping.apply(x, w).get(0).sum();
    backward(loss, true);
    assertFalse(closed[0]);
    assertFalse(saved.get(0).isNull());
    backward(loss, false);
    assertTrue(closed[0], "state is closed by a walk without retain_graph");
    assertTrue(saved.get(0).isNull(), "what was saved is freed by it");
    assertThrows(IllegalStateException.class, () -> contexts.get(0).state(Object.class));
    IllegalStateException gone =
        assertThrows(IllegalStateException.class, () -> contexts.get(0).saved(0));
    assertTrue(gone.getMessage().contains("retain_graph"), gone.getMessage());
    assertFalse(w.grad().defined(), "a null gradient leaves .grad alone");
  }

  @Test
  void aFreedGraphIsRefusedBeforeItsFunctionRuns() {
    int[] walks = new int[1];
    Tensor loss =
        function(
                (context, inputs) -> inputs,
                (context, gradients) -> {
                  walks[0]++;
                  return gradients;
                })
            .apply(leaf(3))
            .get(0)
            .sum();
    backward(loss, false);
    String freed = assertThrows(RuntimeException.class, () -> backward(loss, false)).getMessage();
    assertTrue(freed.contains("Function: backward through a graph that has already been"), freed);
    assertEquals(1, walks[0]);
  }

  @Test
  void anOutputMayBeSavedAndReturnedTwice() {
    Tensor x = leaf(3);
    CustomFunction exp =
        function(
            (context, inputs) -> {
              Tensor y = inputs.get(0).exp();
              context.save(y);
              return List.of(y, y);
            },
            (context, gradients) ->
                List.of(gradients.get(0).sub(gradients.get(1)).mul(context.saved(0))));
    List<Tensor> y = exp.apply(x);
    y.get(0).mul(new Scalar(3f)).add(y.get(1)).sum().backward();
    assertSame(x.detach().exp().mul(new Scalar(2f)), x.grad());
    exp.apply(x); // dropped without a walk: closeScope() sees what a saved output would keep
  }

  @Test
  void aSavedTensorHoldsNoGraph() {
    Tensor scale = leaf(3).mul(new Scalar(2f));
    boolean[] attached = new boolean[1];
    function(
            (context, inputs) -> {
              context.save(scale);
              return List.of(inputs.get(0).mul(scale));
            },
            (context, gradients) -> {
              attached[0] = context.saved(0).requires_grad();
              return List.of(gradients.get(0).mul(context.saved(0)));
            })
        .apply(leaf(3))
        .get(0)
        .sum()
        .backward();
    assertFalse(attached[0]);
  }

  @Test
  void outputsAndWhatIsNotRecordedEndWithTheScopeAndTheCall() {
    boolean[] closed = new boolean[1];
    Tensor y;
    try (PointerScope inner = new PointerScope()) {
      y =
          function(
                  (context, inputs) -> {
                    assertFalse(context.isRecording());
                    context.state((AutoCloseable) () -> closed[0] = true);
                    return List.of(inputs.get(0).neg());
                  },
                  (context, gradients) -> gradients)
              .apply(torch.randn(3))
              .get(0);
      assertTrue(closed[0], "no backward pass can follow");
      assertFalse(y.isNull());
    }
    assertTrue(y.isNull());
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
}
