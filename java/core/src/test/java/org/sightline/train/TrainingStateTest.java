package org.sightline.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.sightline.train.Toy.Batch;

/** Loops over a state that are not {@link FineTuner}'s. */
class TrainingStateTest extends FineTunerFixture {
  @Test
  void aLoopOfOnesOwnGivesTheBitsOfFit() throws Exception {
    List<Batch> batches = Toy.batches(6, 4, 1);
    FineTuneConfig config = config(Mode.ALIGN, 3).gradientAccumulation(2).build();
    Recorder told = new Recorder();
    List<List<Float>> fitted;
    try (Toys toys = new Toys(config)) {
      FineTuner.fit(toys.state, batches.iterator(), told);
      fitted = Toy.bits(toys.policy, "");
    }
    List<Double> losses = new ArrayList<>();
    try (Toys toys = new Toys(config)) {
      toys.state.begin();
      var stream = batches.iterator();
      while (toys.state.progress().steps() < config.steps() && toys.state.step(stream)) {
        losses.add(toys.state.takeEvent().totalLoss());
      }
      assertEquals(fitted, Toy.bits(toys.policy, ""));
    }
    assertEquals(told.steps.stream().map(StepEvent::totalLoss).toList(), losses);
  }

  @Test
  void aStepThatIsShortOfMicroBatchesLeavesNothing() {
    List<Batch> batches = Toy.batches(3, 4, 1);
    FineTuneConfig config = config(Mode.DEFAULT, 3).gradientAccumulation(2).build();
    List<Double> losses = new ArrayList<>();
    List<List<List<Float>>> bits = new ArrayList<>();
    for (boolean interrupted : new boolean[] {false, true}) {
      try (Toys toys = new Toys(config)) {
        toys.state.begin();
        if (interrupted) {
          assertFalse(toys.state.step(batches.subList(2, 3).iterator()));
          assertEquals(0, toys.state.pendingSteps());
        }
        assertTrue(toys.state.step(batches.iterator()));
        losses.add(toys.state.takeEvent().totalLoss());
        bits.add(Toy.bits(toys.policy, ""));
      }
    }
    assertEquals(losses.get(0), losses.get(1));
    assertEquals(bits.get(0), bits.get(1));
  }
}
