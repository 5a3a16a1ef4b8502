package org.sightline.train;

import java.util.ArrayList;
import java.util.List;
import org.sightline.AdamW;
import org.sightline.train.Toy.Batch;
import org.sightline.train.Toy.ToyPolicy;
import org.sightline.train.Toy.ToyTeacher;

/** What the tests of {@link FineTuner} share. */
abstract class FineTunerFixture {
  static final AdamW.Config FAST =
      new AdamW.Config(1e-2, 0.9, 0.999, 1e-8, 0.01, 0, true, AdamW.Precision.MASTER);

  static FineTuneConfigBuilder config(Mode mode, int steps) {
    return FineTuneConfig.builder(mode, steps)
        .alignedLayers(List.of(1))
        .projector(Toy.PROJECTOR)
        .optimizer(FAST)
        .seed(3);
  }

  /** A toy policy and teacher and the state of both, closed together. */
  static final class Toys implements AutoCloseable {
    final ToyPolicy policy;
    final ToyTeacher teacher = new ToyTeacher();
    final TrainingState<Batch> state;

    Toys(FineTuneConfig config) {
      this(new ToyPolicy(), config);
    }

    Toys(ToyPolicy policy, FineTuneConfig config) {
      this.policy = policy;
      state = new TrainingState<>(policy, teacher, config);
    }

    @Override
    public void close() {
      state.close();
      teacher.close();
      policy.close();
    }
  }

  /** What a run told its listener. */
  static class Recorder implements TrainingListener {
    final List<StepEvent> steps = new ArrayList<>();
    final List<Evaluation> evaluations = new ArrayList<>();
    final List<String> order = new ArrayList<>();

    @Override
    public void begin(FineTuneConfig config, int tensors, long parameters) {
      order.add("begin " + tensors + " " + parameters);
    }

    @Override
    public void step(StepEvent event) {
      steps.add(event);
      order.add("step " + event.step());
    }

    @Override
    public void evaluation(Evaluation evaluation) {
      evaluations.add(evaluation);
      order.add("evaluation " + evaluation.step());
    }

    @Override
    public void end(FineTuneResult result) {
      order.add("end " + result.end());
    }

    @Override
    public void failure(Throwable cause) {
      order.add("failure " + cause.getMessage());
    }
  }
}
