package org.sightline.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.AdamW;
import org.sightline.Values;
import org.sightline.train.LearningRateSchedule.Shape;
import org.sightline.train.Toy.Batch;
import org.sightline.train.Toy.ToyPolicy;

class LearningRateScheduleTest {
  /**
   * Values of transformers' get_*_schedule_with_warmup(num_warmup_steps = 10, num_training_steps =
   * 50), whose tests print them for steps 0, 5, 10, 15, … of a rate of 10 (tests/optimization).
   */
  @ParameterizedTest
  @CsvSource({
    "constant, 0;5;10;10;10;10;10;10;10;10",
    "linear, 0;5;10;8.75;7.5;6.25;5;3.75;2.5;1.25",
    "cosine, 0;5;10;9.61939766;8.53553391;6.91341716;5;3.08658284;1.46446609;0.38060234"
  })
  void agreesWithTransformers(String name, String expected) {
    LearningRateSchedule schedule =
        switch (name) {
          case "constant" -> new LearningRateSchedule(Shape.CONSTANT, 10);
          case "linear" -> new LearningRateSchedule(Shape.LINEAR, 10);
          default -> new LearningRateSchedule(Shape.COSINE, 10);
        };
    String[] values = expected.split(";");
    for (int i = 0; i < values.length; i++) {
      assertEquals(Double.parseDouble(values[i]), 10 * schedule.factor(5 * i, 50), 1e-7, "" + i);
    }
  }

  @Test
  void endsAtZeroAndStaysThere() {
    assertEquals(0, new LearningRateSchedule(Shape.LINEAR, 0).factor(7, 7));
    assertEquals(0, new LearningRateSchedule(Shape.LINEAR, 0).factor(9, 7));
    assertEquals(0, new LearningRateSchedule(Shape.COSINE, 3).factor(7, 7), 1e-16);
    // A warm-up as long as the run or longer.
    assertEquals(0.5, new LearningRateSchedule(Shape.LINEAR, 20).factor(10, 10));
    assertEquals(1, new LearningRateSchedule(Shape.COSINE, 10).factor(10, 10));
    assertEquals(1, new LearningRateSchedule(Shape.CONSTANT, 0).factor(0, 10));
    assertEquals(
        "warmupSteps must be at least 0, found -1",
        assertThrows(
                IllegalArgumentException.class, () -> new LearningRateSchedule(Shape.COSINE, -1))
            .getMessage());
  }

  /** The steps are really taken with these rates: without decay, AdamW's first is lr · sign. */
  @Test
  void stepsAreTakenWithTheScheduledRate() throws Exception {
    AdamW.Config adamW = new AdamW.Config(0.01, 0, 0, 1e-12, 0, 0, true, AdamW.Precision.MASTER);
    FineTuneConfig config =
        FineTuneConfig.builder(Mode.DEFAULT, 4)
            .optimizer(adamW)
            .schedule(new LearningRateSchedule(Shape.LINEAR, 2))
            .logInterval(2)
            .build();
    try (ToyPolicy policy = new ToyPolicy();
        TrainingState<Batch> state = new TrainingState<>(policy, null, config)) {
      List<Float> before = Values.floats(policy.layers.get("head").loraB());
      List<Double> moved = new ArrayList<>();
      List<Double> rates = new ArrayList<>();
      TrainingListener listener =
          new TrainingListener() {
            @Override
            public void step(StepEvent event) {
              rates.add(event.learningRate());
              List<Float> now = Values.floats(policy.layers.get("head").loraB());
              double most = 0;
              for (int i = 0; i < now.size(); i++) {
                most = Math.max(most, Math.abs(now.get(i) - before.get(i)));
              }
              moved.add(most);
            }
          };
      FineTuner.fit(state, Toy.cycle(Toy.batches(1, 4, 1)), listener);
      // Factors 0, ½, 1, ½; with betas of 0 each step moves by rate · g / |g|.
      assertEquals(List.of(0.005, 0.005), rates);
      assertEquals(0.005, moved.get(0), 1e-6);
      assertEquals(0.02, moved.get(1), 1e-6);
    }
  }
}
