package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.bytedeco.pytorch.InferenceMode;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/**
 * Tensors made in libtorch's inference mode, as a server loads its weights, have no version
 * counter: they can be read, but not written to or saved for a backward pass.
 */
class InferenceModeTest extends ScopedTest {
  InferenceModeTest() {
    super(31);
  }

  @Test
  void suchTensorsAreRefusedBeforeAnythingIsWritten() {
    Tensor parameter;
    Tensor weight;
    Tensor loss;
    Tensor gradient;
    try (InferenceMode on = new InferenceMode(true)) {
      parameter = torch.randn(6, 5);
      weight = torch.randn(6, 5);
      loss = torch.zeros();
      gradient = torch.zeros(2, 6, 8);
    }
    List<Float> before = Values.floats(weight);
    refused("parameter 0", () -> new AdamW(List.of(parameter), AdamW.Config.defaults()));
    try (LoraLinear linear = linear(weight);
        AlignmentProjector projector = new AlignmentProjector(ProjectorConfig.of(8, 6, 5));
        AlignmentLoss alignment = new AlignmentLoss(projector)) {
      linear.loraB().detach().normal_();
      refused("weight", linear::merge);
      Tensor hidden = torch.randn(2, 6, 8);
      Tensor teacher = torch.randn(2, 4, 5);
      Tensor normal = torch.zeros();
      refused(
          "loss",
          () ->
              alignment.lossAndGradient(
                  hidden, 1, teacher, null, loss, null, torch.zeros(2, 6, 8)));
      refused(
          "gradHidden",
          () -> alignment.lossAndGradient(hidden, 1, teacher, null, normal, null, gradient));
      assertEquals(0, normal.item_float());
      Tensor x = torch.randn(3, 5).set_requires_grad(true);
      refused("LoraLinear", () -> linear.forward(x));
    }
    assertEquals(before, Values.floats(weight));
  }

  private static void refused(String name, Executable call) {
    IllegalArgumentException e = assertThrows(IllegalArgumentException.class, call);
    assertTrue(e.getMessage().startsWith(name), e::getMessage);
    assertTrue(e.getMessage().contains("inference mode"), e::getMessage);
  }

  private static LoraLinear linear(Tensor weight) {
    return new LoraLinear(weight, null, LoraConfig.of(2, 2), DType.FLOAT32, 1);
  }

  /** What a server needs: forward passes within the mode, on weights of either kind. */
  @Test
  void objectsMadeWithinTheModeAreNormal() {
    Tensor x = torch.randn(3, 5).set_requires_grad(true);
    AlignmentProjector projector;
    LoraLinear linear;
    Tensor inside;
    try (InferenceMode on = new InferenceMode(true)) {
      projector = new AlignmentProjector(ProjectorConfig.of(8, 6, 5));
      linear = linear(torch.randn(6, 5));
      inside = linear.forward(x).detach();
    }
    assertFalse(linear.loraA().is_inference());
    assertFalse(projector.parameters().get("net.1.weight").is_inference());
    try (AlignmentLoss alignment = new AlignmentLoss(projector)) {
      Tensor hidden = torch.randn(2, 6, 8).set_requires_grad(true);
      alignment.forward(hidden, 1, torch.randn(2, 4, 5)).loss().backward();
      assertTrue(hidden.grad().abs().sum().item_float() > 0);
    }
    try (NoGradGuard noGrad = new NoGradGuard()) {
      assertEquals(Values.floats(inside), Values.floats(linear.forward(x)));
    }
    linear.close();
    projector.close();
  }
}
