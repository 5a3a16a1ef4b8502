package org.sightline.autograd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;

/** What a {@link CustomFunction} does wrong, and who hears of it. */
class CustomFunctionErrorsTest extends CustomFunctionFixture {
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
    String device =
        failureOf(
            returning(
                List.of(
                    torch.ones(2, 3).to(new Device("meta"), ScalarType.Float), torch.ones(2, 3))));
    assertTrue(
        device.contains("input 0 must be Float[2, 3] on cpu, found Float[2, 3] on meta"), device);
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
    boolean[] closed = new boolean[1];
    CustomFunction failing =
        function(
            (context, inputs) -> {
              context.save(inputs.get(0));
              context.state((AutoCloseable) () -> closed[0] = true);
              throw new IllegalStateException("no forward");
            },
            (context, gradients) -> gradients);
    Tensor x = leaf(3);
    IllegalStateException e = assertThrows(IllegalStateException.class, () -> failing.apply(x));
    assertEquals("no forward", e.getMessage());
    assertTrue(closed[0]);
    assertTrue(torch.isnan(x).logical_not().all().item_bool());
  }

  private static String refusalOf(Pass forward, Tensor... inputs) {
    CustomFunction function = function(forward, (context, gradients) -> gradients);
    return assertThrows(RuntimeException.class, () -> function.apply(inputs)).getMessage();
  }

  @Test
  void whatForwardIsGivenAndReturnsIsChecked() {
    Tensor x = leaf(3);
    assertEquals("Function: input 1 is null", refusalOf((context, inputs) -> inputs, x, null));
    assertEquals("Function.forward returned null", refusalOf((context, inputs) -> null, x));
    assertEquals(
        "Function.forward returned no output", refusalOf((context, inputs) -> List.of(), x));
    assertEquals(
        "Function.forward: output 1 is null",
        refusalOf((context, inputs) -> Arrays.asList(inputs.get(0), null), x));
    assertEquals(
        "saved tensor",
        refusalOf(
            (context, inputs) -> {
              context.save((Tensor) null);
              return inputs;
            },
            x));
  }

  /** libtorch frees the graph: no exception may leave its destructor. */
  @Test
  void aStateThatFailsToCloseIsHeardOfByTheThread() {
    List<String> failures = new ArrayList<>();
    Thread thread = Thread.currentThread();
    Thread.UncaughtExceptionHandler handler = thread.getUncaughtExceptionHandler();
    thread.setUncaughtExceptionHandler((at, failure) -> failures.add(failure.getMessage()));
    try (PointerScope inner = new PointerScope()) {
      function(
              (context, inputs) -> {
                context.state(
                    (AutoCloseable)
                        () -> {
                          throw new IllegalStateException("will not close");
                        });
                return inputs;
              },
              (context, gradients) -> gradients)
          .apply(leaf(3));
    } finally {
      thread.setUncaughtExceptionHandler(handler);
    }
    assertEquals(List.of("will not close"), failures);
  }

  @Test
  void secondOrderIsRefused() {
    Tensor x = leaf(5, 3);
    Tensor w = leaf(4, 3);
    Tensor loss = new MatMul().apply(x, w).get(0).sum();
    RuntimeException e =
        assertThrows(RuntimeException.class, () -> differentiableGradient(loss, x));
    assertTrue(e.getMessage().contains("not differentiable"), e.getMessage());
  }
}
