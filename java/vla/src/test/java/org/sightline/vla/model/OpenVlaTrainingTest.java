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
import org.sightline.binding.Scopes;
import org.sightline.train.PolicyOutput;
import org.sightline.vla.data.loader.VlaBatch;

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

  /**
   * A forward pass leaves no handle to the collector, and no graph survives its step: it would hold
   * on to the adapters it saved for its backward pass. What training as a whole leaves to the
   * collector (callbacks of custom functions) is all found by it.
   */
  @Test
  void aStepLeavesNothingBehind() throws InterruptedException {
    OpenVlaConfig config = TinyModels.config();
    try (VlaBatch batch = TinyModels.batch(config, 1, 12, 12, 9);
        OpenVla model =
            new OpenVla(
                config, spec -> TinyModels.weight(spec, 1), DType.FLOAT32, TinyModels.LORA, SEED);
        AdamW optimizer =
            new AdamW(List.copyOf(model.trainableParameters().values()), AdamW.Config.defaults())) {
      for (int i = 0; i < 5; i++) {
        step(model, batch, optimizer);
      }
      for (int i = 0; i < 20; i++) {
        long handles = Pointer.totalCount();
        try (PointerScope scope = new PointerScope()) {
          Scopes.withoutGradient(() -> model.forward(batch, Set.of(0, 2)));
        }
        // Fewer are possible: the collector may find what earlier steps dropped.
        long left = Pointer.totalCount() - handles;
        assertTrue(left <= 0, "forward pass " + i + " left " + left + " handles behind");
      }
      List<Long> references = references(model);
      System.gc();
      long tracked = Pointer.totalBytes();
      for (int i = 0; i < 100; i++) {
        step(model, batch, optimizer);
      }
      assertEquals(references, references(model));
      // JavaCPP frees what the collector finds on a thread of its own, a little later.
      for (int i = 0; i < 100 && Pointer.totalBytes() > tracked; i++) {
        System.gc();
        Thread.sleep(50);
      }
      assertTrue(
          Pointer.totalBytes() <= tracked,
          "tracked bytes grew from " + tracked + " to " + Pointer.totalBytes());
    }
  }

  private static List<Long> references(OpenVla model) {
    return model.trainableParameters().values().stream().map(Tensor::use_count).toList();
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
