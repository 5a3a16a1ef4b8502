package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.DType;
import org.sightline.Seeds;
import org.sightline.formats.peft.LoraPair;
import org.sightline.train.PolicyOutput;
import org.sightline.vla.data.loader.VlaBatch;

/** The forward pass, and the gradient of the whole graph, against fp64 loops. */
class OpenVlaReferenceTest {
  private static final double TOLERANCE = 1e-5; // native/README.md, fp32
  private static final OpenVlaConfig CONFIG = TinyModels.config();

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3})
  void plainModelEqualsTheFormulas(long seed) {
    try (PointerScope scope = new PointerScope()) {
      Map<String, Tensor> weights = TinyModels.weights(CONFIG, seed);
      VlaBatch batch = TinyModels.batch(CONFIG, seed, 12, 12, 9, 6);
      try (var model = new OpenVla(CONFIG, Weights.of(weights), DType.FLOAT32, null, 0)) {
        var expected = new ReferenceOpenVla(CONFIG, TinyModels.doubles(weights)).forward(batch);
        check(model.forward(batch, Set.of(0, 1, 2, 3)), expected, batch);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {4, 5})
  void adaptersActAsMergedWeights(long seed) {
    try (PointerScope scope = new PointerScope()) {
      Map<String, Tensor> weights = TinyModels.weights(CONFIG, seed);
      VlaBatch batch = TinyModels.batch(CONFIG, seed, 10, 10, 7);
      try (var model =
          new OpenVla(CONFIG, Weights.of(weights), DType.FLOAT32, TinyModels.LORA, seed)) {
        TinyModels.shakeAdapters(model, seed);
        Map<String, double[]> merged =
            TinyModels.merged(weights, model.adapters(), TinyModels.LORA.scale());
        var expected = new ReferenceOpenVla(CONFIG, merged).forward(batch);
        check(model.forward(batch, Set.of(0, 1, 2, 3)), expected, batch);
      }
    }
  }

  @Test
  void anotherEpsilonIsUsed() {
    try (PointerScope scope = new PointerScope()) {
      OpenVlaConfig config =
          TinyModels.with(CONFIG, CONFIG.text().vocabularySize(), CONFIG.vocabularyPadding(), 0.5);
      Map<String, Tensor> weights = TinyModels.weights(config, 6);
      VlaBatch batch = TinyModels.batch(config, 6, 8, 8, 8);
      try (var model = new OpenVla(config, Weights.of(weights), DType.FLOAT32, null, 0)) {
        var expected = new ReferenceOpenVla(config, TinyModels.doubles(weights)).forward(batch);
        check(model.forward(batch, Set.of(3)), expected, batch);
      }
    }
  }

  private static void check(PolicyOutput found, ReferenceOpenVla.Result expected, VlaBatch batch) {
    assertEquals(expected.loss(), found.actionLoss().item_double(), TOLERANCE * expected.loss());
    assertEquals(expected.accuracy(), found.metrics().get("token_accuracy").item_double(), 1e-6);
    assertEquals(expected.l1(), found.metrics().get("action_l1").item_double(), 1e-6);
    found
        .hiddenStates()
        .forEach(
            (layer, states) -> {
              for (int row = 0; row < batch.size(); row++) {
                compareRow(states.select(0, row), expected, batch, row, layer);
              }
            });
  }

  /** At the real positions of a row; what stands at padding is undefined. */
  private static void compareRow(
      Tensor states, ReferenceOpenVla.Result expected, VlaBatch batch, int row, int layer) {
    long real = CONFIG.imageTokens() + batch.attentionMask().select(0, row).sum().item_long();
    double[] found = TinyModels.doubles(states.narrow(0, 0, real));
    double[][] wanted = expected.hidden().get(row).get(layer);
    var flat = new double[found.length];
    int width = wanted[0].length;
    for (int t = 0; t < real; t++) {
      System.arraycopy(wanted[t], 0, flat, t * width, width);
    }
    double error = TinyModels.relativeError(found, flat);
    assertTrue(error <= TOLERANCE, "layer " + layer + ", row " + row + ": error " + error);
  }

  /**
   * The derivative of loss + λ·Σh₂² along a random direction through all adapters, from fp64
   * central differences of the reference, against the gradients autograd left.
   */
  @Test
  void gradientOfTheWholeGraphAgreesWithFiniteDifferences() {
    try (PointerScope scope = new PointerScope()) {
      Map<String, Tensor> weights = TinyModels.weights(CONFIG, 7);
      VlaBatch batch = TinyModels.batch(CONFIG, 7, 9, 9, 8);
      try (var model =
          new OpenVla(CONFIG, Weights.of(weights), DType.FLOAT32, TinyModels.LORA, 7)) {
        TinyModels.shakeAdapters(model, 7);
        PolicyOutput output = model.forward(batch, Set.of(2));
        Tensor images = output.hiddenStates().get(2).narrow(1, 1, CONFIG.imageTokens());
        output.actionLoss().add(images.mul(images).mean()).backward();
        double slope = 0;
        var direction = new LinkedHashMap<String, double[]>();
        for (var parameter : model.trainableParameters().entrySet()) {
          var random = new Random(Seeds.of(70, parameter.getKey()));
          double[] gradient = TinyModels.doubles(parameter.getValue().grad());
          double[] along = random.doubles(gradient.length, -1, 1).toArray();
          for (int i = 0; i < along.length; i++) {
            slope += gradient[i] * along[i];
          }
          direction.put(parameter.getKey(), along);
        }
        double step = 1e-4;
        double difference =
            (objective(weights, model, batch, direction, step)
                    - objective(weights, model, batch, direction, -step))
                / (2 * step);
        assertEquals(difference, slope, 1e-3 * Math.abs(difference));
      }
    }
  }

  private static double objective(
      Map<String, Tensor> weights,
      OpenVla model,
      VlaBatch batch,
      Map<String, double[]> direction,
      double step) {
    Map<String, double[]> parameters = TinyModels.doubles(weights);
    for (Map.Entry<String, LoraPair> adapter : model.adapters().entrySet()) {
      double[] alongA = direction.get(adapter.getKey() + ".lora_A.weight");
      double[] alongB = direction.get(adapter.getKey() + ".lora_B.weight");
      if (alongA == null) {
        continue; // not on the path
      }
      double[] a = TinyModels.doubles(adapter.getValue().a());
      double[] b = TinyModels.doubles(adapter.getValue().b());
      int rank = TinyModels.LORA.rank();
      int in = a.length / rank;
      double[] weight = parameters.get(adapter.getKey() + ".weight");
      for (int o = 0; o < b.length / rank; o++) {
        for (int k = 0; k < in; k++) {
          for (int r = 0; r < rank; r++) {
            weight[o * in + k] +=
                TinyModels.LORA.scale()
                    * (b[o * rank + r] + step * alongB[o * rank + r])
                    * (a[r * in + k] + step * alongA[r * in + k]);
          }
        }
      }
    }
    var result = new ReferenceOpenVla(CONFIG, parameters).forward(batch);
    double sum = 0;
    int count = 0;
    for (var states : result.hidden()) {
      for (int t = 1; t <= CONFIG.imageTokens(); t++) {
        for (double v : states.get(2)[t]) {
          sum += v * v;
          count++;
        }
      }
    }
    return result.loss() + sum / count;
  }
}
