package org.sightline.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.TreeSet;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.sightline.AdamW;
import org.sightline.AlignmentLoss;
import org.sightline.AlignmentProjector;
import org.sightline.ProjectorConfig;
import org.sightline.Values;
import org.sightline.train.FineTuneResult.End;
import org.sightline.train.Toy.Batch;
import org.sightline.train.Toy.ToyPolicy;
import org.sightline.train.Toy.ToyTeacher;

class FineTunerTest extends FineTunerFixture {
  @Test
  void alignRaisesTheCosineAndLowersTheLoss() throws Exception {
    List<Batch> batches = Toy.batches(4, 8, 1);
    try (Toys toys = new Toys(config(Mode.ALIGN, 150).lambda(1).build())) {
      Evaluation before = toys.state.evaluate(batches.iterator());
      Recorder recorder = new Recorder();
      FineTuneResult result = FineTuner.fit(toys.state, Toy.cycle(batches), recorder);
      Evaluation after = toys.state.evaluate(batches.iterator());
      assertTrue(after.cosine().get(1) > before.cosine().get(1) + 0.3, before + " → " + after);
      assertTrue(after.actionLoss() < 0.5 * before.actionLoss(), before + " → " + after);
      assertTrue(
          after.metrics().get("action_l1") < before.metrics().get("action_l1"),
          before + " → " + after);
      assertEquals(End.COMPLETED, result.end());
      assertEquals(150, result.steps());
      assertEquals(150, after.step());
      assertEquals(4, after.batches());
      // On the first step B is zero, so what training sees is what evaluation saw of that batch.
      StepEvent first = recorder.steps.get(0);
      Evaluation alone = firstBatchUntrained(batches.get(0));
      assertEquals(alone.actionLoss(), first.actionLoss(), 1e-6);
      assertEquals(alone.cosine().get(1), first.cosine().get(1), 1e-6);
      assertEquals(-first.cosine().get(1), first.alignmentLoss().getAsDouble(), 1e-6);
      assertEquals(
          first.actionLoss() + first.alignmentLoss().getAsDouble(), first.totalLoss(), 1e-6);
    }
  }

  private static Evaluation firstBatchUntrained(Batch batch) {
    try (Toys toys = new Toys(config(Mode.DEFAULT, 1).build())) {
      return toys.state.evaluate(List.of(batch).iterator());
    }
  }

  /** Gradient of the paper's total loss at the start, composed here by hand. */
  @ParameterizedTest
  @EnumSource(LayerReduction.class)
  void minimisesActionPlusLambdaTimesTheReducedAlignment(LayerReduction reduction)
      throws Exception {
    List<Batch> batches = Toy.batches(1, 8, 1);
    double lambda = 0.7;
    FineTuneConfig config =
        FineTuneConfig.builder(Mode.ALIGN, 1)
            .alignedLayers(List.of(1, 2))
            .projector(Toy.PROJECTOR)
            .lambda(lambda)
            .reduction(reduction)
            .optimizer(FAST)
            .build();
    double expected;
    double norm;
    try (ToyPolicy policy = new ToyPolicy();
        ToyTeacher teacher = new ToyTeacher();
        PointerScope scope = new PointerScope()) {
      PolicyOutput output = policy.forward(batches.get(0), Set.of(1, 2));
      Tensor features = teacher.features(batches.get(0));
      Tensor alignment = torch.zeros(1);
      for (int layer : List.of(1, 2)) {
        ProjectorConfig own =
            new ProjectorConfig(
                Toy.HIDDEN, 16, Toy.FEATURES, false, 0, Toy.PROJECTOR.compute(), layer);
        Tensor loss =
            new AlignmentLoss(new AlignmentProjector(own))
                .forward(output.hiddenStates().get(layer), 1, features)
                .loss();
        alignment = alignment.add(loss);
      }
      double weight = reduction == LayerReduction.SUM ? lambda : lambda / 2;
      Tensor total = output.actionLoss().add(alignment.sum().mul(new Scalar(weight)));
      total.backward();
      expected = total.item_double();
      double squares = 0;
      for (Tensor parameter : policy.trainableParameters().values()) {
        squares += parameter.grad().square().sum().item_double();
      }
      norm = Math.sqrt(squares);
    }
    try (Toys toys = new Toys(config)) {
      StepEvent event = FineTuner.fit(toys.state, batches.iterator()).lastStep().orElseThrow();
      assertEquals(expected, event.totalLoss(), 1e-6);
      assertEquals(norm, event.gradNorm(), 1e-5 * norm);
      double sum = -event.cosine().get(1) - event.cosine().get(2);
      assertEquals(
          reduction == LayerReduction.SUM ? sum : sum / 2,
          event.alignmentLoss().getAsDouble(),
          1e-6);
      assertEquals(1, toys.teacher.calls, "features are computed once, not per layer");
      assertFalse(toys.teacher.sawGradMode, "features are computed without a graph");
      assertEquals(List.of(new TreeSet<>(List.of(1, 2))), toys.policy.asked);
    }
  }

  @Test
  void defaultLeavesAlignmentOutButMeasuresIt() throws Exception {
    List<Batch> batches = Toy.batches(2, 8, 1);
    List<List<Float>> withTeacher;
    try (Toys toys = new Toys(config(Mode.DEFAULT, 5).build())) {
      FineTuneResult result = FineTuner.fit(toys.state, Toy.cycle(batches));
      StepEvent last = result.lastStep().orElseThrow();
      assertEquals(0, toys.teacher.calls);
      assertEquals(OptionalDouble.empty(), last.alignmentLoss());
      assertEquals(Map.of(), last.cosine());
      assertEquals(last.actionLoss(), last.totalLoss());
      assertEquals(Set.of(Set.of()), Set.copyOf(toys.policy.asked), "no hidden state is kept");
      withTeacher = Toy.bits(toys.policy, "");
      Evaluation evaluation = toys.state.evaluate(batches.iterator());
      assertEquals(2, toys.teacher.calls);
      assertEquals(Set.of(1), evaluation.cosine().keySet());
      assertEquals(-evaluation.cosine().get(1), evaluation.alignmentLoss().getAsDouble(), 1e-6);
    }
    try (ToyPolicy policy = new ToyPolicy();
        TrainingState<Batch> state =
            new TrainingState<>(
                policy,
                null,
                FineTuneConfig.builder(Mode.DEFAULT, 5).optimizer(FAST).seed(3).build())) {
      FineTuner.fit(state, Toy.cycle(batches));
      assertEquals(withTeacher, Toy.bits(policy, ""));
      Evaluation evaluation = state.evaluate(batches.iterator());
      assertEquals(Map.of(), evaluation.cosine());
      assertEquals(OptionalDouble.empty(), evaluation.alignmentLoss());
      assertEquals(Map.of(), state.projectors());
    }
  }

  @Test
  void freezeKeepsTheBitsOfTheVisionAdapters() throws Exception {
    AdamW.Config decay =
        new AdamW.Config(1e-2, 0.9, 0.999, 1e-8, 0.5, 0, true, AdamW.Precision.MASTER);
    List<Batch> batches = Toy.batches(2, 8, 1);
    try (ToyPolicy policy = new ToyPolicy()) {
      try (NoGradGuard noGrad = new NoGradGuard()) {
        // B is not zero, so that decay or a gradient would show in both tensors.
        policy.layers.get("vision").loraB().fill_(new Scalar(0.1));
      }
      List<List<Float>> vision = Toy.bits(policy, "vision.");
      List<List<Float>> head = Toy.bits(policy, "head.");
      Recorder recorder = new Recorder();
      FineTuneConfig config = FineTuneConfig.builder(Mode.FREEZE, 10).optimizer(decay).build();
      try (TrainingState<Batch> state = new TrainingState<>(policy, null, config)) {
        FineTuner.fit(state, Toy.cycle(batches), recorder);
        assertEquals(vision, Toy.bits(policy, "vision."));
        assertNotEquals(head, Toy.bits(policy, "head."));
        assertFalse(policy.layers.get("vision").loraA().requires_grad());
      }
      assertEquals("begin 4 204", recorder.order.get(0));
      // Unlocked again: the next fine-tuning trains them.
      FineTuneConfig plain = FineTuneConfig.builder(Mode.DEFAULT, 1).optimizer(decay).build();
      try (TrainingState<Batch> state = new TrainingState<>(policy, null, plain)) {
        FineTuner.fit(state, Toy.cycle(batches));
      }
      assertNotEquals(vision, Toy.bits(policy, "vision."));
    }
  }

  @Test
  void accumulatingHalvesEqualsTheWhole() throws Exception {
    Batch whole = Toy.batches(1, 8, 1).get(0);
    List<List<List<Float>>> results = new ArrayList<>();
    List<StepEvent> events = new ArrayList<>();
    for (int parts : List.of(1, 2, 4)) {
      List<Batch> micro = new ArrayList<>();
      for (int i = 0; i < parts; i++) {
        micro.add(whole.part(i * 8L / parts, 8 / parts));
      }
      try (Toys toys = new Toys(config(Mode.ALIGN, 6).gradientAccumulation(parts).build())) {
        Recorder recorder = new Recorder();
        FineTuner.fit(toys.state, Toy.cycle(micro), recorder);
        assertEquals(6, recorder.steps.size(), "events are per optimizer step");
        results.add(Toy.bits(toys.policy, ""));
        events.add(recorder.steps.get(5));
      }
    }
    for (int i = 1; i < 3; i++) {
      assertEquals(events.get(0).totalLoss(), events.get(i).totalLoss(), 1e-5);
      assertEquals(events.get(0).gradNorm(), events.get(i).gradNorm(), 1e-5);
      for (int p = 0; p < results.get(0).size(); p++) {
        for (int k = 0; k < results.get(0).get(p).size(); k++) {
          // Adam divides by √v: rounding of tiny gradients shows in the third digit of a step.
          assertEquals(results.get(0).get(p).get(k), results.get(i).get(p).get(k), 1e-4);
        }
      }
    }
  }

  @Test
  void aTrainableProjectorIsTrained() throws Exception {
    ProjectorConfig trainable =
        new ProjectorConfig(Toy.HIDDEN, 16, Toy.FEATURES, true, 0, Toy.PROJECTOR.compute(), 0);
    List<Batch> batches = Toy.batches(2, 8, 1);
    for (boolean train : List.of(false, true)) {
      try (Toys toys =
          new Toys(
              config(Mode.ALIGN, 3)
                  .alignedLayers(List.of(2))
                  .projector(train ? trainable : Toy.PROJECTOR)
                  .build())) {
        AlignmentProjector projector = toys.state.projectors().get(2);
        List<Float> before = Values.floats(projector.parameters().get("net.1.weight"));
        Recorder recorder = new Recorder();
        FineTuner.fit(toys.state, Toy.cycle(batches), recorder);
        List<Float> after = Values.floats(projector.parameters().get("net.1.weight"));
        assertEquals(!train, before.equals(after));
        // 6 adapter tensors, 8 of the projector.
        assertEquals(train, recorder.order.get(0).startsWith("begin 14 "));
      }
    }
  }

  @Test
  void layersGetProjectorsOfTheirOwn() {
    try (ToyPolicy policy = new ToyPolicy();
        ToyTeacher teacher = new ToyTeacher();
        TrainingState<Batch> both =
            new TrainingState<>(
                policy,
                teacher,
                config(Mode.ALIGN, 1)
                    .alignedLayers(List.of(2, 1))
                    .projector(Toy.PROJECTOR)
                    .build());
        TrainingState<Batch> one =
            new TrainingState<>(
                policy,
                teacher,
                config(Mode.ALIGN, 1).alignedLayers(List.of(2)).projector(Toy.PROJECTOR).build())) {
      List<Float> first = weight(both, 1);
      assertNotEquals(first, weight(both, 2));
      assertEquals(weight(one, 2), weight(both, 2), "in any company");
    }
  }

  private static List<Float> weight(TrainingState<?> state, int layer) {
    return Values.floats(state.projectors().get(layer).parameters().get("net.1.weight"));
  }

  @Test
  void theSameSeedGivesTheSameBitsOnAnyNumberOfThreads() throws Exception {
    int threads = torch.get_num_threads();
    try {
      List<List<List<Float>>> results = new ArrayList<>();
      List<List<Double>> losses = new ArrayList<>();
      for (int n : List.of(1, 1, 2)) {
        torch.set_num_threads(n);
        try (Toys toys = new Toys(new ToyPolicy(0.1), config(Mode.ALIGN, 10).build())) {
          Recorder recorder = new Recorder();
          FineTuner.fit(toys.state, Toy.cycle(Toy.batches(3, 16, 5)), recorder);
          results.add(Toy.bits(toys.policy, ""));
          losses.add(recorder.steps.stream().map(StepEvent::totalLoss).toList());
        }
      }
      assertEquals(losses.get(0), losses.get(1));
      assertEquals(results.get(0), results.get(1));
      assertEquals(losses.get(0), losses.get(2));
      assertEquals(results.get(0), results.get(2));
    } finally {
      torch.set_num_threads(threads);
    }
  }

  /**
   * Counted without the garbage collector's help: every step frees what it made. The policy is of
   * libtorch's operations alone: a custom function's node leaves two empty handles to the
   * collector.
   */
  @ParameterizedTest
  @EnumSource(
      value = Mode.class,
      names = {"DEFAULT", "FREEZE"})
  void stepsAndEvaluationsLeaveNoNativeObjects(Mode mode) throws Exception {
    List<Batch> batches = Toy.batches(2, 4, 1);
    try (Toys toys =
        new Toys(
            ToyPolicy.ofPlainOperations(),
            config(mode, 20)
                .gradientAccumulation(2)
                .logInterval(5)
                .evaluationInterval(5)
                .build())) {
      List<Long> counts = new ArrayList<>();
      TrainingListener counter =
          new TrainingListener() {
            @Override
            public void evaluation(Evaluation evaluation) {
              counts.add(Pointer.totalCount());
            }
          };
      FineTuner.fit(toys.state, Toy.cycle(batches), batches::iterator, null, counter);
      assertEquals(4, counts.size());
      // Not equality: the collector may find what earlier tests left.
      assertTrue(counts.get(3) <= counts.get(1), () -> "after 5, 10, 15, 20 steps: " + counts);
    }
  }
}
