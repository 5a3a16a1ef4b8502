package org.sightline.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.AdamW;
import org.sightline.autograd.CustomFunction;
import org.sightline.autograd.FunctionContext;
import org.sightline.train.Toy.Batch;
import org.sightline.train.Toy.ToyPolicy;
import org.sightline.train.Toy.ToyTeacher;
import org.sightline.train.checkpoint.Checkpointable;

/** Steps that memory does not suffice for, and that are run again: {@link OutOfMemory#RETRY}. */
class OutOfMemoryTest extends FineTunerFixture {
  private static final String MESSAGE = "CUDA out of memory. Tried to allocate 2.00 GiB.";

  /** Steps in proportion to the gradients, to compare these by the parameters they leave. */
  private static final AdamW.Config LINEAR =
      new AdamW.Config(1, 0, 0, 1, 0, 0, true, AdamW.Precision.MASTER);

  /** A toy policy that runs out of memory. */
  private static final class Starved implements Policy<Batch>, Checkpointable {
    final ToyPolicy toy;
    final List<Long> sizes = new ArrayList<>(); // of the batches it was given

    /** Passes that fail, counted from 1: odd ones forwards, even ones in their backward pass. */
    Set<Integer> failing = Set.of();

    /** How often there is something to save. */
    int savings;

    /** Samples that memory suffices for. */
    long most = Long.MAX_VALUE;

    Starved(double dropout) {
      toy = new ToyPolicy(dropout);
    }

    @Override
    public PolicyOutput forward(Batch batch, Set<Integer> hiddenLayers) {
      sizes.add(batch.x.size(0));
      int pass = sizes.size();
      boolean fails = failing.contains(pass);
      if (batch.x.size(0) > most || fails && pass % 2 == 1) {
        throw new RuntimeException(MESSAGE + "\nException raised from malloc");
      }
      PolicyOutput out = toy.forward(batch, hiddenLayers);
      Tensor loss =
          fails ? new FullOnTheWayBack().apply(out.actionLoss()).get(0) : out.actionLoss();
      return new PolicyOutput(
          loss, out.hiddenStates(), out.firstImageToken(), out.imageTokens(), out.metrics());
    }

    @Override
    public boolean saveMemory() {
      return savings-- > 0;
    }

    @Override
    public List<Batch> halves(Batch batch) {
      long size = batch.x.size(0);
      return size < 2
          ? List.of()
          : List.of(batch.part(0, size / 2), batch.part(size / 2, size - size / 2));
    }

    @Override
    public Map<String, Tensor> trainableParameters() {
      return toy.trainableParameters();
    }

    @Override
    public boolean isVisionParameter(String name) {
      return toy.isVisionParameter(name);
    }

    @Override
    public long batchSize(Batch batch) {
      return toy.batchSize(batch);
    }

    @Override
    public String name() {
      return toy.name();
    }

    @Override
    public State state() {
      return toy.state();
    }

    @Override
    public void restore(State state) {
      toy.restore(state);
    }

    @Override
    public void close() {
      toy.close();
    }
  }

  private static final class FullOnTheWayBack extends CustomFunction {
    @Override
    protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
      return inputs;
    }

    @Override
    protected List<Tensor> backward(FunctionContext context, List<Tensor> gradients) {
      throw new OutOfMemoryError("lora: out of device memory");
    }
  }

  /** What a run left and told. */
  private record Outcome(List<List<Float>> bits, List<StepEvent> events, List<String> warnings) {}

  private static Outcome run(Starved policy, FineTuneConfigBuilder config, Iterator<Batch> batches)
      throws Exception {
    List<String> warnings = new ArrayList<>();
    Recorder recorder =
        new Recorder() {
          @Override
          public void warning(String message) {
            warnings.add(message);
          }
        };
    try (policy;
        ToyTeacher teacher = new ToyTeacher();
        TrainingState<Batch> state =
            new TrainingState<>(policy, teacher, config.outOfMemory(OutOfMemory.RETRY).build())) {
      FineTuner.fit(state, batches, recorder);
      return new Outcome(Toy.bits(policy, ""), recorder.steps, warnings);
    }
  }

  /** With dropout, noise in the batches and gradients of a micro-batch that was done. */
  @Test
  void aStepThatSavesMemoryHasTheBitsOfOneThatHadEnough() throws Exception {
    FineTuneConfigBuilder config = config(Mode.ALIGN, 3).gradientAccumulation(2);
    Outcome whole = run(new Starved(0.1), config, new Toy.Stream());
    Starved starved = new Starved(0.1);
    // Steps of passes 1 2 | 3 4, 5 6 | 7, 8 9: one fails on its way back, one forwards.
    starved.failing = Set.of(4, 7);
    starved.savings = 2;
    Outcome retried = run(starved, config, new Toy.Stream());
    assertEquals(whole.bits, retried.bits);
    assertEquals(9, starved.sizes.size());
    for (int i = 0; i < 3; i++) {
      assertEquals(whole.events.get(i).totalLoss(), retried.events.get(i).totalLoss());
      assertEquals(whole.events.get(i).gradNorm(), retried.events.get(i).gradNorm());
    }
    String then = "); from here on with gradient checkpointing";
    String back = retried.warnings.get(0);
    assertTrue(back.startsWith("memory ran out in step 2 ("), back);
    assertTrue(back.endsWith("lora: out of device memory" + then), back);
    assertEquals(List.of(back, "memory ran out in step 3 (" + MESSAGE + then), retried.warnings);
  }

  @ParameterizedTest
  @CsvSource({"3, 2, 5 2 3", "2, 4, 5 2 3 1 1 1 2", "1, 8, 5 2 1 1 1 2 1 1 1 1 1"})
  void partsOfABatchHaveTheGradientsOfTheWhole(long most, int parts, String sizes)
      throws Exception {
    FineTuneConfigBuilder config = config(Mode.ALIGN, 1).optimizer(LINEAR);
    Outcome whole = run(new Starved(0), config, Toy.batches(1, 5, 1).iterator());
    Starved starved = new Starved(0);
    starved.most = most;
    List<Batch> batches = Toy.batches(1, 5, 1);
    Outcome retried = run(starved, config, batches.iterator());
    assertEquals(Stream.of(sizes.split(" ")).map(Long::valueOf).toList(), starved.sizes);
    for (int i = 0; i < whole.bits.size(); i++) {
      for (int j = 0; j < whole.bits.get(i).size(); j++) {
        assertEquals(whole.bits.get(i).get(j), retried.bits.get(i).get(j), 1e-6f);
      }
    }
    StepEvent expected = whole.events.get(0);
    StepEvent found = retried.events.get(0);
    assertEquals(expected.actionLoss(), found.actionLoss(), 1e-6);
    assertEquals(expected.totalLoss(), found.totalLoss(), 1e-6);
    assertEquals(expected.cosine().get(1), found.cosine().get(1), 1e-6);
    assertEquals(expected.metrics().get("action_l1"), found.metrics().get("action_l1"), 1e-6);
    assertEquals(1, batches.get(0).closed);
    String last = retried.warnings.get(retried.warnings.size() - 1);
    assertTrue(last.endsWith("from here on with micro-batches in " + parts + " parts"), last);
  }

  @Test
  void aResumedRunKnowsTheParts() {
    try (Starved policy = new Starved(0);
        ToyTeacher teacher = new ToyTeacher()) {
      FineTuneConfig config = config(Mode.ALIGN, 9).outOfMemory(OutOfMemory.RETRY).build();
      policy.most = 2;
      Checkpointable.State saved;
      try (TrainingState<Batch> state = new TrainingState<>(policy, teacher, config)) {
        state.begin();
        state.step(Toy.batches(1, 4, 1).iterator());
        saved = part(state).state();
      }
      assertEquals(List.of(4L, 2L, 2L), policy.sizes);
      try (TrainingState<Batch> state = new TrainingState<>(policy, teacher, config)) {
        state.begin();
        part(state).restore(saved);
        state.step(Toy.batches(1, 4, 1).iterator());
        assertEquals(List.of(), state.takeWarnings());
      }
      assertEquals(List.of(4L, 2L, 2L, 2L, 2L), policy.sizes);
    }
  }

  private static Checkpointable part(TrainingState<Batch> state) {
    return state.parts().stream()
        .filter(each -> each.name().equals("accumulation"))
        .findFirst()
        .orElseThrow();
  }

  @Test
  void whereNothingIsLeftToSaveTheRunEnds() {
    Starved starved = new Starved(0);
    starved.most = 0;
    List<Batch> batches = Toy.batches(1, 2, 1);
    FineTuneConfigBuilder config = config(Mode.ALIGN, 1);
    var e =
        assertThrows(TrainingMemoryException.class, () -> run(starved, config, batches.iterator()));
    assertTrue(e.getMessage().startsWith("out of memory in step 1, batches of 2 samples: lower"));
    assertEquals(List.of(2L, 1L), starved.sizes);
    assertEquals(1, batches.get(0).closed);
  }
}
