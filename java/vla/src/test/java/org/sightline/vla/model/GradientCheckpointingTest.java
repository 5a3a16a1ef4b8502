package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.DType;
import org.sightline.LoraConfig;
import org.sightline.LoraInit;
import org.sightline.train.PolicyOutput;
import org.sightline.vla.data.loader.VlaBatch;

class GradientCheckpointingTest {
  private static final LoraConfig DROPOUT = new LoraConfig(3, 6, 0.2, false, LoraInit.GAUSSIAN);

  /** Loss and the gradient of every adapter, of a loss that also sees the hidden states. */
  private static Map<String, double[]> step(boolean checkpointing, boolean freezeVision) {
    OpenVlaConfig config = TinyModels.config();
    Map<String, double[]> values = new LinkedHashMap<>();
    try (PointerScope scope = new PointerScope();
        VlaBatch batch = TinyModels.batch(config, 1, 12, 12, 9);
        OpenVla model =
            new OpenVla(config, spec -> TinyModels.weight(spec, 1), DType.FLOAT32, DROPOUT, 3)) {
      TinyModels.shakeAdapters(model, 5);
      model.setGradientCheckpointing(checkpointing);
      if (freezeVision) {
        model
            .trainableParameters()
            .forEach((name, tensor) -> tensor.set_requires_grad(!model.isVisionParameter(name)));
      }
      // Twice: the second batch draws the masks that follow.
      for (int i = 0; i < 2; i++) {
        PolicyOutput output = model.forward(batch, Set.of(0, 2));
        Tensor loss = output.actionLoss();
        for (Tensor hidden : output.hiddenStates().values()) {
          loss = loss.add(hidden.square().mean());
        }
        loss.backward();
        values.put("loss " + i, TinyModels.doubles(loss));
      }
      model
          .trainableParameters()
          .forEach(
              (name, tensor) -> {
                if (tensor.requires_grad()) {
                  values.put(name, TinyModels.doubles(tensor.grad()));
                }
              });
    }
    return values;
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void gradientsHaveTheBitsOfThePlainPath(boolean freezeVision) {
    Map<String, double[]> plain = step(false, freezeVision);
    Map<String, double[]> checkpointed = step(true, freezeVision);
    assertEquals(plain.keySet(), checkpointed.keySet());
    assertTrue(plain.size() > 40, plain.keySet()::toString);
    plain.forEach((name, values) -> assertArrayEquals(values, checkpointed.get(name), name));
  }
}
