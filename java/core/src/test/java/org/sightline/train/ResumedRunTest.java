package org.sightline.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Set;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.train.FineTuneResult.End;
import org.sightline.train.Toy.Batch;
import org.sightline.train.Toy.ToyPolicy;
import org.sightline.train.checkpoint.CheckpointException;
import org.sightline.train.checkpoint.CheckpointStore;
import org.sightline.train.listener.EarlyStopping;

/** Runs that are resumed within one process; {@link KilledRunTest} has the real thing. */
class ResumedRunTest {
  @TempDir Path folder;

  /** Interrupts its run at a step, and hears what is told. */
  private static class Interrupter implements TrainingListener {
    final List<String> heard = new ArrayList<>();
    int at = -1;
    int asked;
    int breakAt = -1;

    @Override
    public void resume(int step) {
      heard.add("resume " + step);
    }

    @Override
    public void begin(FineTuneConfig config, int tensors, long parameters) {
      heard.add("begin");
    }

    @Override
    public void warning(String message) {
      heard.add("warning " + message);
    }

    @Override
    public void step(StepEvent event) {
      if (event.step() == at) {
        Thread.currentThread().interrupt();
      }
    }

    /** Asked once per step. */
    @Override
    public boolean interruptRequested() {
      return asked++ == breakAt;
    }
  }

  private static FineTuneResult run(Path folder, int steps, Interrupter listener) throws Exception {
    try {
      return ToyRun.run(folder, steps, listener);
    } finally {
      Thread.interrupted();
    }
  }

  private void assertSameBytes(String file) throws Exception {
    assertArrayEquals(
        Files.readAllBytes(folder.resolve("whole").resolve(file)),
        Files.readAllBytes(folder.resolve("parts").resolve(file)),
        file);
  }

  @Test
  void anInterruptedRunIsSavedAndGoesOn() throws Exception {
    run(folder.resolve("whole"), 20, new Interrupter());
    Path parts = folder.resolve("parts");
    Interrupter listener = new Interrupter();
    listener.at = 6;
    FineTuneResult first = run(parts, 20, listener);
    assertEquals(End.INTERRUPTED, first.end());
    // The interrupt did not close the logs, nor keep the last checkpoint from being written.
    assertEquals(List.of(4, 6), new CheckpointStore(parts.resolve("checkpoints"), 2).steps());
    // In the middle of a log interval: what it gathered so far is not lost, nor logged early.
    listener.asked = 0;
    listener.breakAt = 5;
    FineTuneResult second = run(parts, 20, listener);
    assertEquals(End.INTERRUPTED, second.end());
    assertEquals(11, second.steps());
    listener.breakAt = -1;
    FineTuneResult third = run(parts, 20, listener);
    assertEquals(End.COMPLETED, third.end());
    assertEquals(20, third.steps());
    assertTrue(third.seconds() > second.seconds() && second.seconds() > first.seconds());
    assertEquals(List.of("begin", "resume 6", "begin", "resume 11", "begin"), listener.heard);
    assertSameBytes("log.csv");
    assertSameBytes("adapter.safetensors");
    // A run that is done stays so, and more steps may be asked for.
    assertEquals(20, run(parts, 20, listener).steps());
    assertSameBytes("log.csv");
  }

  @Test
  void goesBackBehindADamagedCheckpointAndSaysSo() throws Exception {
    run(folder.resolve("whole"), 12, new Interrupter());
    Path parts = folder.resolve("parts");
    Interrupter listener = new Interrupter();
    listener.at = 9;
    run(parts, 12, listener);
    Path newest = parts.resolve("checkpoints/step-000000009");
    Files.writeString(newest.resolve("state.json"), "{}");
    listener.heard.clear();
    listener.at = -1;
    run(parts, 12, listener);
    assertEquals(3, listener.heard.size(), listener.heard::toString);
    assertTrue(
        listener.heard.get(0).startsWith("warning " + newest + " is damaged: state.json: found 2"),
        listener.heard::toString);
    assertEquals("resume 8", listener.heard.get(1));
    assertSameBytes("log.csv");
    assertSameBytes("adapter.safetensors");
  }

  @Test
  void aRunThatWasStoppedStaysSo() throws Exception {
    List<Batch> held = Toy.batches(1, 4, 50);
    for (int i = 0; i < 2; i++) {
      try (FineTunerFixture.Toys toys = new FineTunerFixture.Toys(ToyRun.config(60))) {
        // No loss is better by that much: the second evaluation, at step 25, is one too many.
        EarlyStopping stopping = new EarlyStopping("action_loss", EarlyStopping.Goal.LOWER, 0, 1e6);
        FineTuneResult result =
            FineTuner.fit(
                toys.state,
                new Toy.Stream(),
                held::iterator,
                new CheckpointStore(folder, 1),
                stopping);
        assertEquals(End.STOPPED, result.end());
        assertEquals(25, result.steps());
        assertTrue(stopping.reason().orElseThrow().endsWith(" at step 0"), "" + stopping.reason());
        assertEquals(i == 0 ? 2 : 0, result.evaluations().size());
      }
    }
  }

  @Test
  void anotherRunsCheckpointIsRefused() throws Exception {
    ToyRun.run(folder, 4);
    CheckpointStore store = new CheckpointStore(folder.resolve("checkpoints"), 2);
    FineTuneConfig other =
        FineTuneConfig.builder(Mode.DEFAULT, 4).seed(3).gradientAccumulation(2).build();
    try (ToyPolicy policy = new ToyPolicy();
        TrainingState<Batch> state = new TrainingState<>(policy, null, other)) {
      String message =
          assertThrows(
                  IllegalArgumentException.class,
                  () -> FineTuner.fit(state, new Toy.Stream(), null, store))
              .getMessage();
      assertTrue(
          message.startsWith(folder.resolve("checkpoints/step-000000004") + " is of another run: ")
              && message.contains("; mode: found ALIGN, expected DEFAULT; ")
              && message.contains("schedule.shape: found COSINE, expected CONSTANT; "),
          message);
      assertFalse(message.contains("learningRate") || message.contains("nterval"), message);
      Iterator<Batch> plain = Toy.cycle(Toy.batches(1, 4, 1));
      assertTrue(
          assertThrows(
                  IllegalArgumentException.class, () -> FineTuner.fit(state, plain, null, store))
              .getMessage()
              .startsWith("batches must be Checkpointable for a run with checkpoints, found "));
    }
  }

  @Test
  void whatCannotBeSavedEndsTheRunByName() throws Exception {
    // A file where the folder should be.
    Path file = Files.writeString(folder.resolve("checkpoints"), "mine");
    UncheckedIOException e = assertThrows(UncheckedIOException.class, () -> ToyRun.run(folder, 8));
    assertInstanceOf(CheckpointException.class, e.getCause());
    assertTrue(e.getMessage().startsWith("checkpoint of step 4 in " + file), e.getMessage());
  }

  /** libtorch really refuses: a petabyte. */
  @Test
  void memoryThatRunsOutIsExplained() {
    Policy<Batch> greedy =
        new Policy<>() {
          private final ToyPolicy toy = new ToyPolicy();

          @Override
          public PolicyOutput forward(Batch batch, Set<Integer> hiddenLayers) {
            if (toy.asked.size() == 2) {
              torch.empty(1L << 48);
            }
            return toy.forward(batch, hiddenLayers);
          }

          @Override
          public java.util.Map<String, org.bytedeco.pytorch.Tensor> trainableParameters() {
            return toy.trainableParameters();
          }

          @Override
          public boolean isVisionParameter(String name) {
            return false;
          }

          @Override
          public long batchSize(Batch batch) {
            return toy.batchSize(batch);
          }

          @Override
          public void close() {
            toy.close();
          }
        };
    FineTuneConfig config = FineTuneConfig.builder(Mode.DEFAULT, 9).gradientAccumulation(2).build();
    try (greedy;
        TrainingState<Batch> state = new TrainingState<>(greedy, null, config)) {
      TrainingMemoryException e =
          assertThrows(
              TrainingMemoryException.class,
              () -> FineTuner.fit(state, Toy.cycle(Toy.batches(1, 4, 1))));
      assertTrue(
          e.getMessage()
              .startsWith(
                  "out of memory in step 2, batches of 4 samples: lower the batch size, and raise"
                      + " the gradient accumulation (now 2) by the same factor to train on as many"
                      + " samples a step; or turn gradient checkpointing on ("),
          e.getMessage());
      assertTrue(e.getCause().getMessage().contains("allocate"), e.getCause().getMessage());
    }
    // Whatever else goes wrong stays what it is.
    try (ToyPolicy policy = new ToyPolicy();
        TrainingState<Batch> state = new TrainingState<>(policy, null, config)) {
      TrainingListener heap =
          new TrainingListener() {
            @Override
            public void step(StepEvent event) {
              throw event.step() == 1
                  ? new OutOfMemoryError("Java heap space")
                  : new AssertionError();
            }
          };
      TrainingMemoryException e =
          assertThrows(
              TrainingMemoryException.class,
              () -> FineTuner.fit(state, Toy.cycle(Toy.batches(1, 4, 1)), heap));
      assertTrue(e.getMessage().endsWith("(Java heap space)"), e.getMessage());
      assertThrows(
          AssertionError.class, () -> FineTuner.fit(state, Toy.cycle(Toy.batches(1, 4, 1)), heap));
    }
  }

  /** Dropout of projectors is off in an evaluation: two of them agree. */
  @Test
  void evaluationsAreWithoutDropout() throws Exception {
    try (FineTunerFixture.Toys toys =
        new FineTunerFixture.Toys(new ToyPolicy(0.5), ToyRun.config(4))) {
      FineTuner.fit(toys.state, new Toy.Stream());
      Evaluation first = toys.state.evaluate(Toy.batches(1, 4, 50).iterator());
      Evaluation second = toys.state.evaluate(Toy.batches(1, 4, 50).iterator());
      assertEquals(first.cosine(), second.cosine());
      assertEquals(first.actionLoss(), second.actionLoss());
    }
  }

  /** Its checkpoint is as it was, and nothing more is asked of the GPU. */
  @Test
  void aLostGpuLeavesTheLastCheckpoint() throws Exception {
    run(folder.resolve("whole"), 8, new Interrupter());
    var lost =
        new Interrupter() {
          @Override
          public void step(StepEvent event) {
            if (event.step() == 6) {
              throw new RuntimeException(
                  "CUDA error: uncorrectable ECC error encountered\nframe 0");
            }
          }
        };
    Path parts = folder.resolve("parts");
    var e = assertThrows(DeviceLostException.class, () -> run(parts, 8, lost));
    assertEquals(
        "the GPU was lost in step 7 (CUDA error: uncorrectable ECC error encountered): look at"
            + " nvidia-smi and the system's log; in a new process the run goes on from its last"
            + " checkpoint",
        e.getMessage());
    Interrupter resumed = new Interrupter();
    run(parts, 8, resumed);
    assertEquals("resume 4", resumed.heard.get(0));
    assertSameBytes("adapter.safetensors");
  }
}
