package org.sightline.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.sightline.ProjectorConfig;
import org.sightline.train.Toy.Batch;
import org.sightline.train.Toy.ToyPolicy;
import org.sightline.train.Toy.ToyTeacher;

/** Steps that fail, and configurations that {@link FineTuner} refuses. */
class FineTunerFailuresTest extends FineTunerFixture {
  @Test
  void countsAndSkipsStepsThatAreNotFinite() throws Exception {
    List<Batch> batches = Toy.batches(3, 4, 1);
    batches.get(1).y.fill_(new Scalar(Double.NaN));
    try (ToyPolicy policy = new ToyPolicy();
        TrainingState<Batch> state =
            new TrainingState<>(policy, null, FineTuneConfig.builder(Mode.DEFAULT, 3).build())) {
      List<List<List<Float>>> seen = new ArrayList<>();
      Recorder recorder =
          new Recorder() {
            @Override
            public void step(StepEvent event) {
              super.step(event);
              seen.add(Toy.bits(policy, ""));
            }
          };
      FineTuneResult result = FineTuner.fit(state, batches.iterator(), recorder);
      assertEquals(1, result.skippedSteps());
      assertEquals(List.of(0, 1, 0), recorder.steps.stream().map(StepEvent::skippedSteps).toList());
      assertTrue(recorder.steps.get(1).nonFinite() > 0);
      assertTrue(Double.isNaN(recorder.steps.get(1).actionLoss()));
      assertEquals(seen.get(0), seen.get(1), "a skipped step changes nothing");
      assertNotEquals(seen.get(1), seen.get(2));
    }
  }

  @Test
  void aFailureReachesListenersAndLeavesNoGradients() {
    try (ToyPolicy policy = new ToyPolicy();
        TrainingState<Batch> state =
            new TrainingState<>(
                policy,
                null,
                FineTuneConfig.builder(Mode.DEFAULT, 9).gradientAccumulation(2).build())) {
      Iterator<Batch> one = Toy.batches(3, 4, 1).iterator();
      Iterator<Batch> lying =
          new Iterator<>() {
            @Override
            public boolean hasNext() {
              return true;
            }

            @Override
            public Batch next() {
              if (!one.hasNext()) {
                throw new NoSuchElementException("disk on fire");
              }
              return one.next();
            }
          };
      Recorder recorder = new Recorder();
      assertThrows(NoSuchElementException.class, () -> FineTuner.fit(state, lying, recorder));
      assertEquals(List.of("begin 6 316", "step 1", "failure disk on fire"), recorder.order);
      for (Tensor parameter : policy.trainableParameters().values()) {
        assertEquals(0, parameter.grad().abs().sum().item_double());
      }
    }
  }

  @Test
  void explainsWhatDoesNotFitTogether() {
    try (ToyPolicy policy = new ToyPolicy();
        ToyTeacher teacher = new ToyTeacher()) {
      assertRefused(
          "teacher must be given in mode ALIGN, found null",
          () -> new TrainingState<>(policy, null, config(Mode.ALIGN, 1).build()));
      assertRefused(
          "projector.teacherSize must be the teacher's width 5, found 6",
          () ->
              new TrainingState<>(
                  policy,
                  teacher,
                  config(Mode.DEFAULT, 1)
                      .alignedLayers(List.of(1))
                      .projector(ProjectorConfig.of(Toy.HIDDEN, 16, 6))
                      .build()));
      policy.layers.remove("middle");
      policy.layers.remove("head");
      assertRefused(
          "policy must have a parameter to train in mode FREEZE, found none",
          () -> new TrainingState<>(policy, teacher, config(Mode.FREEZE, 1).build()));
    }
    try (ToyPolicy policy = new ToyPolicy();
        ToyTeacher teacher = new ToyTeacher()) {
      TrainingState<Batch> state =
          new TrainingState<>(policy, teacher, config(Mode.ALIGN, 1).build());
      state.close();
      state.close();
      String message =
          assertThrows(
                  IllegalStateException.class,
                  () -> FineTuner.fit(state, Toy.cycle(Toy.batches(1, 1, 1))))
              .getMessage();
      assertTrue(message.startsWith("TrainingState is closed; it was closed at "), message);
    }
  }

  @Test
  void explainsTeachersAndPoliciesThatDisagree() {
    List<Batch> batches = Toy.batches(1, 2, 1);
    Teacher<Batch> few =
        new Teacher<>() {
          @Override
          public Tensor features(Batch batch) {
            return torch.zeros(2, 3, Toy.FEATURES);
          }

          @Override
          public long width() {
            return Toy.FEATURES;
          }

          @Override
          public void close() {}
        };
    try (ToyPolicy policy = new ToyPolicy();
        TrainingState<Batch> state =
            new TrainingState<>(policy, few, config(Mode.ALIGN, 1).build())) {
      assertEquals(
          "teacher features must be [B,N,Z] with N = 4 as the policy's image tokens, found 3"
              + " dimensions, N = 3",
          assertThrows(IllegalStateException.class, () -> FineTuner.fit(state, batches.iterator()))
              .getMessage());
    }
  }

  private static void assertRefused(
      String message, org.junit.jupiter.api.function.Executable executable) {
    assertEquals(message, assertThrows(IllegalArgumentException.class, executable).getMessage());
  }
}
