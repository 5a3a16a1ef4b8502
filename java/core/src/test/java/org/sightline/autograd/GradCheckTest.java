package org.sightline.autograd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.sightline.ScopedTest;

class GradCheckTest extends ScopedTest {
  GradCheckTest() {
    super(3);
  }

  private static Tensor leaf(ScalarType dtype, long... shape) {
    return torch.randn(shape).to(dtype).set_requires_grad(true);
  }

  /** sin(x) y with the gradient of x off by {@code error} at one element. */
  private static CustomFunction sine(double error) {
    return new CustomFunction() {
      @Override
      protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
        context.save(inputs.get(0), inputs.get(1));
        return List.of(inputs.get(0).sin().mul(inputs.get(1)));
      }

      @Override
      protected List<Tensor> backward(FunctionContext context, List<Tensor> gradients) {
        Tensor dx = gradients.get(0).mul(context.saved(0).cos()).mul(context.saved(1));
        dx.select(0, 1).select(0, 2).add_(new Scalar(error));
        return Arrays.asList(dx, gradients.get(0).mul(context.saved(0).sin()));
      }
    };
  }

  private static void check(double error, ScalarType dtype, GradCheck.Options options) {
    GradCheck.check(
        inputs -> sine(error).apply(inputs.toArray(Tensor[]::new)),
        List.of(leaf(dtype, 2, 3), leaf(dtype, 2, 3)),
        options);
  }

  @Test
  void passesRightGradients() {
    check(0, ScalarType.Double, GradCheck.Options.float64());
    check(0, ScalarType.Float, GradCheck.Options.float32());
  }

  @Test
  void findsASmallError() {
    AssertionError e =
        assertThrows(
            AssertionError.class,
            () -> check(1e-4, ScalarType.Double, GradCheck.Options.float64()));
    assertTrue(e.getMessage().startsWith("gradient of input 0 at [1, 2]: analytic "), e::toString);
    assertTrue(e.getMessage().contains("difference 0.000100"), e::toString);
    assertThrows(
        AssertionError.class, () -> check(0.05, ScalarType.Float, GradCheck.Options.float32()));
  }

  @Test
  void aMissingGradientIsZero() {
    Tensor x = leaf(ScalarType.Double, 3);
    Tensor unused = leaf(ScalarType.Double, 3);
    GradCheck.check(
        inputs -> List.of(inputs.get(0).exp()), List.of(x, unused), GradCheck.Options.float64());
    AssertionError e =
        assertThrows(
            AssertionError.class,
            () ->
                GradCheck.check(
                    inputs -> List.of(inputs.get(0).exp().add(inputs.get(1).detach())),
                    List.of(x, unused),
                    GradCheck.Options.float64()));
    assertTrue(e.getMessage().contains("gradient of input 1 at [0]: analytic 0"), e::toString);
  }

  @Test
  void restoresTheInputs() {
    Tensor x = leaf(ScalarType.Float, 4);
    Tensor before = x.detach().clone();
    GradCheck.check(
        inputs -> List.of(inputs.get(0).sin()), List.of(x), GradCheck.Options.float32());
    assertTrue(torch.equal(before, x.detach()));
  }

  @Test
  void refusesWhatItCannotCheck() {
    IllegalArgumentException none =
        assertThrows(
            IllegalArgumentException.class,
            () -> GradCheck.check(i -> i, List.of(torch.ones(2)), GradCheck.Options.float32()));
    assertEquals("at least one input must require a gradient, found none", none.getMessage());
    Tensor notLeaf = leaf(ScalarType.Float, 2).neg();
    assertThrows(
        IllegalArgumentException.class,
        () -> GradCheck.check(i -> i, List.of(notLeaf), GradCheck.Options.float32()));
    IllegalArgumentException step =
        assertThrows(IllegalArgumentException.class, () -> new GradCheck.Options(0, 1, 1, 1, 0));
    assertEquals("step must be above 0, found 0.0", step.getMessage());
  }
}
