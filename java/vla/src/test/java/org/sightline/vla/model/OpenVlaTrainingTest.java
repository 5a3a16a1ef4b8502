package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Set;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.sightline.AdamW;
import org.sightline.DType;
import org.sightline.LoraConfig;
import org.sightline.train.PolicyOutput;
import org.sightline.vla.data.VlaBatch;

/** Training through adapters on seeded random weights: it learns, repeats itself, and leaks not. */
class OpenVlaTrainingTest {
  private static final long SEED = 3;

  @Test
  void nanoLearnsABatchByHeartAndTwoRunsAgree() {
    double[] first = train(40);
    assertTrue(first[39] < 0.4 * first[0], first[0] + " to " + first[39]);
    double[] second = train(5);
    for (int step = 0; step < second.length; step++) {
      assertEquals(first[step], second[step], "step " + step);
    }
  }

  private static double[] train(int steps) {
    OpenVlaConfig config = OpenVlaConfig.nano();
    var losses = new double[steps];
    try (VlaBatch batch = TinyModels.batch(config, SEED, 20, 20, 18);
        OpenVla model =
            new OpenVla(
                config, Weights.random(config, SEED), DType.FLOAT32, LoraConfig.of(16, 16), SEED);
        AdamW optimizer =
            new AdamW(List.copyOf(model.trainableParameters().values()), AdamW.Config.defaults())) {
      for (int step = 0; step < steps; step++) {
        losses[step] = step(model, batch, optimizer);
      }
    }
    return losses;
  }

  private static double step(OpenVla model, VlaBatch batch, AdamW optimizer) {
    try (PointerScope scope = new PointerScope()) {
      PolicyOutput output = model.forward(batch, Set.of(2));
      output.actionLoss().backward();
      optimizer.step();
      return output.actionLoss().item_double();
    }
  }

  /** What Java still holds after a step must not depend on how many steps there were. */
  @Test
  void memoryStaysFlat() {
    OpenVlaConfig config = TinyModels.config();
    try (VlaBatch batch = TinyModels.batch(config, 1, 12, 12, 9);
        OpenVla model =
            new OpenVla(
                config, spec -> TinyModels.weight(spec, 1), DType.FLOAT32, TinyModels.LORA, SEED);
        AdamW optimizer =
            new AdamW(List.copyOf(model.trainableParameters().values()), AdamW.Config.defaults())) {
      for (int i = 0; i < 50; i++) {
        step(model, batch, optimizer);
      }
      System.gc();
      long tracked = Pointer.totalBytes();
      long physical = Pointer.physicalBytes();
      for (int i = 0; i < 400; i++) {
        step(model, batch, optimizer);
      }
      // Less is possible: the collector may find what earlier tests dropped.
      assertTrue(
          Pointer.totalBytes() <= tracked,
          "tracked bytes grew from " + tracked + " to " + Pointer.totalBytes());
      System.gc();
      // A step's tensors take about 1 MB: a leak of one in ten would show as 40.
      long growth = Pointer.physicalBytes() - physical;
      assertTrue(growth < 32L << 20, "resident set grew by " + growth + " bytes");
    }
  }

  /** Tensors handed out die with the caller's scope, not with the collector. */
  @Test
  void outputsBelongToTheCallersScope() {
    OpenVlaConfig config = TinyModels.config();
    try (VlaBatch batch = TinyModels.batch(config, 1, 12, 12);
        OpenVla model =
            new OpenVla(config, spec -> TinyModels.weight(spec, 1), DType.FLOAT32, null, SEED)) {
      Tensor loss;
      Tensor states;
      try (PointerScope scope = new PointerScope()) {
        PolicyOutput output = model.forward(batch, Set.of(1));
        loss = output.actionLoss();
        states = output.hiddenStates().get(1);
        assertTrue(loss.defined() && states.defined());
      }
      assertTrue(loss.isNull() && states.isNull());
    }
  }
}
