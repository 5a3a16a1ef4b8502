package org.sightline.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.sightline.train.FineTuneResult.End;
import org.sightline.train.Toy.Batch;
import org.sightline.train.Toy.ToyPolicy;

/** What a run of {@link FineTuner} tells, how it is stopped, and how it ends. */
class FineTunerEventsTest extends FineTunerFixture {
  @Test
  void tellsListenersInOrderAndEvaluatesPerOptimizerStep() throws Exception {
    List<Batch> batches = Toy.batches(3, 4, 1);
    List<Batch> held = Toy.batches(2, 4, 50);
    try (Toys toys =
        new Toys(
            config(Mode.ALIGN, 7)
                .gradientAccumulation(2)
                .logInterval(2)
                .evaluationInterval(3)
                .build())) {
      Recorder recorder = new Recorder();
      FineTuneResult result =
          FineTuner.fit(toys.state, Toy.cycle(batches), held::iterator, null, recorder);
      assertEquals(
          List.of(
              "begin 6 316",
              "step 2",
              "evaluation 3",
              "step 4",
              "step 6",
              "evaluation 6",
              "step 7",
              "evaluation 7",
              "end COMPLETED"),
          recorder.order);
      assertEquals(recorder.evaluations, result.evaluations());
      assertEquals(recorder.steps.get(3), result.lastStep().orElseThrow());
      assertEquals(7, result.steps());
      assertEquals(0, result.skippedSteps());
      assertTrue(result.seconds() > 0);
      assertTrue(recorder.steps.get(0).samplesPerSecond() > 0);
      assertEquals(14 + 3 * 2, toys.policy.asked.size());
      // Evaluation runs without gradients and dropout, training with both.
      assertEquals(List.of(false, true, false, true, false, true), toys.policy.training);
      assertEquals(6, toys.policy.gradMode.stream().filter(on -> !on).count());
      // Handed over means closed once per use.
      assertEquals(14, batches.stream().mapToInt(batch -> batch.closed).sum());
      assertEquals(6, held.stream().mapToInt(batch -> batch.closed).sum());
      // A second run counts on.
      Recorder second = new Recorder();
      FineTuner.fit(toys.state, Toy.cycle(batches), second);
      assertEquals(List.of(9, 11, 13, 14), second.steps.stream().map(StepEvent::step).toList());
      assertEquals(14, second.steps.get(0).totalSteps());
    }
  }

  /** An interval reports the mean of what its steps would report alone. */
  @Test
  void anIntervalReportsMeans() throws Exception {
    List<List<StepEvent>> runs = new ArrayList<>();
    for (int interval : List.of(1, 3)) {
      try (Toys toys = new Toys(config(Mode.ALIGN, 3).logInterval(interval).build())) {
        Recorder recorder = new Recorder();
        FineTuner.fit(toys.state, Toy.cycle(Toy.batches(3, 4, 1)), recorder);
        runs.add(recorder.steps);
      }
    }
    StepEvent mean = runs.get(1).get(0);
    assertEquals(1, runs.get(1).size());
    assertEquals(
        runs.get(0).stream().mapToDouble(StepEvent::totalLoss).average().orElseThrow(),
        mean.totalLoss(),
        1e-12);
    assertEquals(
        runs.get(0).stream().mapToDouble(StepEvent::gradNorm).average().orElseThrow(),
        mean.gradNorm(),
        1e-12);
    assertEquals(
        runs.get(0).stream().mapToDouble(e -> e.cosine().get(1)).average().orElseThrow(),
        mean.cosine().get(1),
        1e-12);
  }

  @Test
  void evaluationWeighsBatchesBySize() {
    Batch whole = Toy.batches(1, 9, 1).get(0);
    try (Toys toys = new Toys(config(Mode.FREEZE, 1).build())) {
      Evaluation one = toys.state.evaluate(List.of(whole).iterator());
      Evaluation parts =
          toys.state.evaluate(
              List.of(whole.part(0, 4), whole.part(4, 4), whole.part(8, 1)).iterator());
      assertEquals(3, parts.batches());
      assertEquals(one.actionLoss(), parts.actionLoss(), 1e-6);
      assertEquals(one.cosine().get(1), parts.cosine().get(1), 1e-6);
      IllegalArgumentException none =
          assertThrows(
              IllegalArgumentException.class,
              () -> toys.state.evaluate(List.<Batch>of().iterator()));
      assertEquals("evaluation batches must be at least 1, found none", none.getMessage());
    }
  }

  @Test
  void endsInGoodOrderWhenTheBatchesDo() throws Exception {
    List<Batch> five = Toy.batches(5, 4, 1);
    try (ToyPolicy policy = new ToyPolicy();
        TrainingState<Batch> state =
            new TrainingState<>(
                policy,
                null,
                FineTuneConfig.builder(Mode.DEFAULT, 10).gradientAccumulation(2).build())) {
      Recorder recorder = new Recorder();
      FineTuneResult result =
          FineTuner.fit(
              state, five.iterator(), () -> five.subList(0, 1).iterator(), null, recorder);
      assertEquals(End.OUT_OF_DATA, result.end());
      assertEquals(2, result.steps());
      assertEquals(
          List.of("begin 6 316", "step 1", "step 2", "evaluation 2", "end OUT_OF_DATA"),
          recorder.order);
      // The odd micro-batch left nothing behind.
      for (Tensor parameter : policy.trainableParameters().values()) {
        assertEquals(0, parameter.grad().abs().sum().item_double());
      }
    }
  }

  @Test
  void stopsWhenAListenerAsks() throws Exception {
    try (ToyPolicy policy = new ToyPolicy();
        TrainingState<Batch> state =
            new TrainingState<>(policy, null, FineTuneConfig.builder(Mode.DEFAULT, 100).build())) {
      Recorder recorder =
          new Recorder() {
            @Override
            public boolean stopRequested() {
              return steps.size() == 3;
            }
          };
      FineTuneResult result = FineTuner.fit(state, Toy.cycle(Toy.batches(1, 4, 1)), recorder);
      assertEquals(End.STOPPED, result.end());
      assertEquals(3, result.steps());
      assertEquals("end STOPPED", recorder.order.get(recorder.order.size() - 1));
    }
  }

  @Test
  void stopsWhenInterruptedAndKeepsTheFlag() throws Exception {
    try (ToyPolicy policy = new ToyPolicy();
        TrainingState<Batch> state =
            new TrainingState<>(
                policy, null, FineTuneConfig.builder(Mode.DEFAULT, 100).logInterval(50).build())) {
      Recorder recorder = new Recorder();
      Iterator<Batch> batches = Toy.cycle(Toy.batches(1, 4, 1));
      Iterator<Batch> interrupting =
          new Iterator<>() {
            private int count;

            @Override
            public boolean hasNext() {
              return true;
            }

            @Override
            public Batch next() {
              if (++count == 5) {
                Thread.currentThread().interrupt();
              }
              return batches.next();
            }
          };
      FineTuneResult result = FineTuner.fit(state, interrupting, recorder);
      assertTrue(Thread.interrupted(), "the flag is left for the caller");
      assertEquals(End.INTERRUPTED, result.end());
      assertEquals(5, result.steps());
      assertEquals(List.of("begin 6 316", "step 5", "end INTERRUPTED"), recorder.order);
    } finally {
      Thread.interrupted();
    }
  }
}
