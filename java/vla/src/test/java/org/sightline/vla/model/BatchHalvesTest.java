package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.sightline.DType;
import org.sightline.Sightline;
import org.sightline.vla.data.loader.VlaBatch;

/** What a step that runs out of memory asks of the model. */
class BatchHalvesTest {
  @BeforeAll
  static void load() {
    Sightline.load();
  }

  /** Rows with different numbers of labels weigh by these. */
  @Test
  void weighedByTheirLabelsHalvesHaveTheGradientsOfTheWhole() {
    OpenVlaConfig config = TinyModels.config();
    Weights weights = Weights.of(TinyModels.weights(config, 1));
    try (PointerScope scope = new PointerScope();
        OpenVla model = new OpenVla(config, weights, DType.FLOAT32, TinyModels.LORA, 1);
        VlaBatch batch = TinyModels.batch(config, 2, 12, 12, 9, 11)) {
      batch.labels().select(0, 1).narrow(0, 0, 7).fill_(new Scalar(-100L));
      Map<String, Tensor> whole = gradients(model, batch, 1);
      List<VlaBatch> halves = model.halves(batch);
      assertEquals(List.of(1L, 2L), halves.stream().map(VlaBatch::size).toList());
      assertTrue(model.labels(halves.get(1)) < 2 * model.labels(halves.get(0)));
      for (VlaBatch half : halves) {
        gradients(model, half, (double) model.labels(half) / model.labels(batch));
        half.close();
      }
      whole.forEach(
          (name, expected) -> {
            Tensor found = model.trainableParameters().get(name).grad();
            double error = found.sub(expected).abs().max().item_double();
            assertTrue(error <= 1e-5 * expected.abs().max().item_double(), name + ": " + error);
          });
    }
  }

  /** Adds to the gradients; the result is a copy, after which they are 0. */
  private static Map<String, Tensor> gradients(OpenVla model, VlaBatch batch, double weight) {
    model.forward(batch, Set.of()).actionLoss().mul(new Scalar(weight)).backward();
    Map<String, Tensor> found = new HashMap<>();
    if (weight == 1) {
      model
          .trainableParameters()
          .forEach(
              (name, parameter) -> {
                found.put(name, parameter.grad().to(ScalarType.Double));
                parameter.grad().zero_();
              });
    }
    return found;
  }

  @Test
  void memoryIsSavedOnce() {
    OpenVlaConfig config = TinyModels.config();
    Weights weights = Weights.of(TinyModels.weights(config, 1));
    try (OpenVla model = new OpenVla(config, weights, DType.FLOAT32, TinyModels.LORA, 1);
        VlaBatch one = TinyModels.batch(config, 2, 12, 12)) {
      assertTrue(model.saveMemory());
      assertFalse(model.saveMemory());
      assertEquals(List.of(), model.halves(one));
    }
  }
}
