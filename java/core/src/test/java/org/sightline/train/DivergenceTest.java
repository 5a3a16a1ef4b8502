package org.sightline.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.function.IntPredicate;
import org.bytedeco.pytorch.Scalar;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.AdamW;
import org.sightline.train.Toy.Batch;
import org.sightline.train.Toy.ToyPolicy;
import org.sightline.train.checkpoint.CheckpointStore;
import org.sightline.train.checkpoint.Checkpointable;
import org.sightline.train.checkpoint.Checkpointable.State;

/** Runs that learn nothing any more fail, with what they had learnt before still there. */
class DivergenceTest {
  @TempDir Path folder;

  /** Batches of which some are NaN, by the number of the step they are for, from 0. */
  private static final class Poisoned implements Iterator<Batch>, Checkpointable {
    private final IntPredicate bad;
    private int next;

    Poisoned(IntPredicate bad) {
      this.bad = bad;
    }

    @Override
    public boolean hasNext() {
      return true;
    }

    @Override
    public Batch next() {
      Batch batch = Toy.batches(1, 4, next).get(0);
      if (bad.test(next++)) {
        batch.y.fill_(new Scalar(Double.NaN));
      }
      return batch;
    }

    @Override
    public String name() {
      return "data";
    }

    @Override
    public State state() {
      return State.ofJson("{\"next\":" + next + "}");
    }

    @Override
    public void restore(State state) {
      next = Integer.parseInt(state.json().replaceAll("\\D", ""));
    }
  }

  private static FineTuneConfigBuilder config(int steps, boolean skip) {
    return FineTuneConfig.builder(Mode.DEFAULT, steps)
        .optimizer(new AdamW.Config(1e-3, 0.9, 0.999, 1e-8, 0, 1, skip, AdamW.Precision.MASTER));
  }

  private CheckpointStore store() {
    return new CheckpointStore(folder.resolve("checkpoints"), 2);
  }

  private FineTuneResult run(
      FineTuneConfig config, Iterator<Batch> batches, TrainingListener... listeners)
      throws TrainingDivergedException {
    try (ToyPolicy policy = new ToyPolicy();
        TrainingState<Batch> state = new TrainingState<>(policy, null, config)) {
      return FineTuner.fit(state, batches, null, store(), listeners);
    }
  }

  private TrainingDivergedException diverges(FineTuneConfig config, IntPredicate bad) {
    FineTunerFixture.Recorder recorder = new FineTunerFixture.Recorder();
    TrainingDivergedException e =
        assertThrows(
            TrainingDivergedException.class, () -> run(config, new Poisoned(bad), recorder));
    String last = recorder.order.get(recorder.order.size() - 1);
    assertEquals("failure " + e.getMessage(), last, "listeners hear of it last");
    return e;
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 3, 40})
  void stepsThatAreMostlySkippedEndTheRun(int logInterval) {
    FineTuneConfig config = config(40, true).logInterval(logInterval).build();
    String message = diverges(config, step -> step >= 2).getMessage();
    int at = logInterval == 1 ? 12 : logInterval == 3 ? 15 : 40;
    assertTrue(message.contains("by step " + at + ", "), message);
    assertTrue(message.contains("lower the learning rate (now 0.001)"), message);
    assertTrue(message.contains("clipped to (now 1.0)"), message);
  }

  /** Also late in a run, however many steps went well before. */
  @Test
  void whatWentWellLongAgoDoesNotCount() {
    String message = diverges(config(400, true).build(), step -> step >= 60).getMessage();
    assertTrue(message.contains("by step 70, 10 more steps were skipped than taken"), message);
  }

  @Test
  void everySecondStepMayBeSkipped() throws Exception {
    FineTuneResult result = run(config(40, true).build(), new Poisoned(step -> step % 2 == 1));
    assertEquals(20, result.skippedSteps());
  }

  @Test
  void aShortRunFailsAtItsEnd() {
    String message = diverges(config(3, true).build(), step -> step > 0).getMessage();
    assertTrue(message.contains("2 of 3 steps were skipped"), message);
  }

  /** Without skipping, NaN reaches the weights: the loss tells, and nothing of them is saved. */
  @Test
  void aLossThatIsNotFiniteFailsWhereNoStepIsSkipped() throws Exception {
    FineTuneConfig config = config(9, false).checkpointInterval(1).build();
    String message = diverges(config, step -> step == 4).getMessage();
    assertTrue(message.contains("step 5 has total loss NaN (action loss NaN)"), message);
    assertEquals(List.of(3, 4), store().steps());
    config = config(9, false).checkpointInterval(5).logInterval(9).build();
    Path none = folder.resolve("checkpoints/step-000000005");
    message = diverges(config, step -> step == 4).getMessage();
    assertTrue(message.contains(".weight must be finite, found NaN at [0, 0]"), message);
    assertTrue(Files.notExists(none));
  }

  @Test
  void anEvaluationThatIsNotFiniteFails() {
    for (boolean initial : new boolean[] {true, false}) {
      FineTuneConfig config = config(2, true).initialEvaluation(initial).build();
      try (ToyPolicy policy = new ToyPolicy();
          TrainingState<Batch> state = new TrainingState<>(policy, null, config)) {
        FineTunerFixture.Recorder recorder = new FineTunerFixture.Recorder();
        TrainingDivergedException e =
            assertThrows(
                TrainingDivergedException.class,
                () ->
                    FineTuner.fit(
                        state,
                        new Poisoned(step -> false),
                        () -> List.of(new Poisoned(step -> true).next()).iterator(),
                        null,
                        recorder));
        String where =
            "the evaluation after step " + (initial ? 0 : 2) + " is not finite (action loss NaN)";
        assertTrue(e.getMessage().contains(where), e.getMessage());
        assertEquals(1, recorder.evaluations.size(), "it is in the logs");
      }
    }
  }

  /**
   * Checkpoint 2 is of weights from which no step succeeded: a resumed run goes on from 1, and what
   * it could not use is still there. Nothing is saved while nothing is learnt.
   */
  @ParameterizedTest
  @ValueSource(ints = {1, 4})
  void theLastGoodCheckpointStaysAndIsResumed(int logInterval) throws Exception {
    FineTuneConfig config = config(40, true).checkpointInterval(1).logInterval(logInterval).build();
    diverges(config, step -> step >= 2);
    assertEquals(List.of(1), store().steps());
    assertTrue(Files.exists(folder.resolve("checkpoints/diverged-000000002/manifest.json")));

    List<Integer> resumed = new ArrayList<>();
    TrainingListener listener =
        new TrainingListener() {
          @Override
          public void resume(int step) {
            resumed.add(step);
          }
        };
    assertEquals(0, run(config, new Poisoned(step -> false), listener).skippedSteps());
    assertEquals(List.of(1), resumed);
  }

  /** The first step's rate takes the weights where every loss overflows. */
  @Test
  void aRateThatIsFarTooHighFails() {
    FineTuneConfig config =
        FineTuneConfig.builder(Mode.DEFAULT, 30)
            .optimizer(new AdamW.Config(1e30, 0.9, 0.999, 1e-8, 0, 1, true, AdamW.Precision.MASTER))
            .build();
    diverges(config, step -> false);
  }
}
