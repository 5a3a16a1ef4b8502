package org.sightline.autograd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.sightline.binding.Scopes;

class PrecomputedGradientTest extends CustomFunctionFixture {
  private static final PrecomputedGradient GRADIENT = new PrecomputedGradient("SquaredNorms");

  /** Σ |x|² of all inputs, the gradient 2x computed beforehand. */
  private static Tensor squaredNorms(Tensor... inputs) {
    Tensor value = torch.zeros(new long[0]);
    Tensor[] gradients = new Tensor[inputs.length];
    NoGradGuard noGrad = new NoGradGuard();
    for (int i = 0; i < inputs.length; i++) {
      value = value.add(inputs[i].to(ScalarType.Float).square().sum());
      gradients[i] = inputs[i].requires_grad() ? inputs[i].mul(new Scalar(2)) : null;
    }
    noGrad.close();
    return GRADIENT.attach(value, List.of(inputs), Arrays.asList(gradients));
  }

  private static void assertClose(Tensor expected, Tensor found) {
    assertTrue(torch.allclose(expected, found), () -> expected + " and " + found);
  }

  private static Tensor times(double factor, Tensor x) {
    return x.detach().mul(new Scalar(factor));
  }

  @Test
  void isMultipliedByWhatComesFromAbove() {
    Tensor x = leaf(4, 3);
    Tensor y = squaredNorms(x);
    assertEquals(x.detach().square().sum().item_float(), y.item_float());
    backward(y.mul(new Scalar(0.25)).add(y.square().mul(new Scalar(0))), false);
    assertClose(times(0.5, x), x.grad());
  }

  @Test
  void reachesInputsThatAreNoLeaves() {
    Tensor x = leaf(2, 1, 5);
    backward(squaredNorms(x.mul(new Scalar(3))), false);
    assertClose(times(18, x), x.grad());
  }

  @Test
  void severalInputsGetTheirsAndTheOthersNone() {
    Tensor x = leaf(4, 3);
    Tensor constant = torch.randn(2);
    Tensor z = leaf(7);
    Tensor y = squaredNorms(x, constant, z);
    float expected =
        x.detach()
            .square()
            .sum()
            .add(constant.square().sum())
            .add(z.detach().square().sum())
            .item_float();
    assertEquals(expected, y.item_float(), 1e-5f);
    backward(y, false);
    assertClose(times(2, x), x.grad());
    assertClose(times(2, z), z.grad());
    assertFalse(constant.grad().defined());
  }

  @Test
  void withoutGradientsTheValueStaysAsItIs() {
    Tensor value = torch.ones(new long[0]);
    Tensor[] none = {null};
    assertSame(value, GRADIENT.attach(value, List.of(leaf(3)), Arrays.asList(none)));
    assertFalse(value.requires_grad());
  }

  @Test
  void aScalarInputAndAnEmptyOneAreInputsToo() {
    Tensor x = torch.full(new long[0], new Scalar(3.0)).set_requires_grad(true);
    Tensor empty = leaf(0, 4);
    backward(squaredNorms(x, empty), false);
    assertEquals(6.0f, x.grad().item_float());
    assertEquals(0, x.grad().dim());
    assertEquals(0, empty.grad().size(0));
  }

  @Test
  void bf16GradientsAreScaledInFp32AndRoundedOnce() {
    Tensor x = torch.randn(64).to(ScalarType.BFloat16).set_requires_grad(true);
    backward(squaredNorms(x).mul(new Scalar(0.2)), false);
    assertEquals(ScalarType.BFloat16, x.grad().scalar_type().intern());
    Tensor expected = x.detach().to(ScalarType.Float).mul(new Scalar(2)).mul(new Scalar(0.2f));
    assertTrue(x.grad().equal(expected.to(ScalarType.BFloat16)));
  }

  @Test
  void aFactorOfOneKeepsBf16AsItIs() {
    Tensor x = torch.randn(64).to(ScalarType.BFloat16).set_requires_grad(true);
    Tensor y = squaredNorms(x);
    assertEquals(x.detach().to(ScalarType.Float).square().sum().item_float(), y.item_float());
    backward(y, false);
    assertTrue(x.grad().equal(times(2, x)));
  }

  @Test
  void aKeptGraphMayBeWalkedTwiceAndAFreedOneNot() {
    Tensor x = leaf(3, 3);
    Tensor y = squaredNorms(x);
    backward(y, true);
    backward(y, false);
    assertClose(times(4, x), x.grad());
    RuntimeException e = assertThrows(RuntimeException.class, () -> backward(y, false));
    assertTrue(e.getMessage().contains("second time"), e.getMessage());
  }

  @Test
  void theGraphOutlivesTheScopeItWasMadeIn() {
    Tensor x = leaf(5);
    Tensor y;
    try (PointerScope inner = new PointerScope()) {
      y = Scopes.own(squaredNorms(x));
    }
    backward(y, false);
    y.close();
    assertClose(times(2, x), x.grad());
  }

  @Test
  void aSecondDerivativeIsRefused() {
    Tensor x = leaf(4, 2);
    Tensor w = leaf(4, 2);
    Tensor y = squaredNorms(x.mul(w));
    Tensor gradient = differentiableGradient(y, x);
    assertClose(w.detach().square().mul(x.detach()).mul(new Scalar(2)), gradient.detach());
    RuntimeException e =
        assertThrows(RuntimeException.class, () -> backward(gradient.sum(), false));
    assertTrue(e.getMessage().contains("SquaredNorms: its backward"), e.getMessage());
  }

  @Test
  void badArgumentsAreNamed() {
    Tensor x = leaf(4, 2);
    Tensor value = torch.ones(new long[0]);
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class,
            () -> GRADIENT.attach(torch.ones(1), List.of(x), List.of(torch.ones(4, 2))));
    assertTrue(e.getMessage().contains("value must be a scalar, found Float[1]"), e.getMessage());
    for (Tensor wrong : List.of(torch.ones(2, 4), torch.ones(4), torch.ones(4, 2, 1))) {
      e =
          assertThrows(
              IllegalArgumentException.class,
              () -> GRADIENT.attach(value, List.of(x), List.of(wrong)));
      assertTrue(
          e.getMessage().contains("gradient of input 0 must be Float[4, 2]"), e.getMessage());
    }
    e =
        assertThrows(
            IllegalArgumentException.class, () -> GRADIENT.attach(value, List.of(x), List.of()));
    assertTrue(e.getMessage().contains("expected 1 gradients, found 0"), e.getMessage());
    e =
        assertThrows(
            IllegalArgumentException.class,
            () -> GRADIENT.attach(value, List.of(torch.ones(2)), List.of(torch.ones(2))));
    assertTrue(e.getMessage().contains("input 0 has a gradient"), e.getMessage());
    assertFalse(value.requires_grad());
  }

  @Test
  void nothingIsRecordedUnlessGradientsAre() {
    Tensor value = torch.ones(new long[0]);
    try (NoGradGuard noGrad = new NoGradGuard()) {
      assertSame(value, GRADIENT.attach(value, List.of(leaf(3)), List.of(torch.ones(3))));
    }
    assertFalse(value.requires_grad());
  }
}
