package org.sightline.train;

import com.google.gson.Gson;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalLong;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.sightline.AdamW;
import org.sightline.AlignmentProjector;
import org.sightline.Device;
import org.sightline.binding.Lifetime;
import org.sightline.train.checkpoint.Checkpointable;
import org.sightline.train.checkpoint.OptimizerPart;
import org.sightline.train.checkpoint.RandomPart;
import org.sightline.train.checkpoint.RandomPositions;
import org.sightline.train.checkpoint.TensorsPart;

/**
 * What a training loop advances: a policy's parameters, their gradients, projectors and optimizer,
 * and the count of steps. {@link FineTuner#fit} is the loop with events, evaluations and
 * checkpoints; one of your own can be as short as
 *
 * <pre>{@code
 * try (TrainingState<VlaBatch> state = new TrainingState<>(policy, teacher, config)) {
 *   state.begin();
 *   while (state.progress().steps() < config.steps() && state.step(batches)) {
 *     System.out.println(state.takeEvent().totalLoss());
 *   }
 *   System.out.println(state.evaluate(evaluationBatches).actionLoss());
 * }
 * }</pre>
 *
 * <p>The loss is action + λ · alignment, the alignment in {@link Mode#ALIGN} alone. In {@link
 * Mode#FREEZE} the vision encoder's adapters keep their bits: they neither receive gradients nor
 * decay. Projectors are frozen unless {@code config.projector().trainable()}; trained ones are
 * given to the optimizer in {@link Mode#ALIGN}.
 *
 * <p><b>Batches</b> are handed over: one that is {@link AutoCloseable} is closed after its use.
 * {@code next()} runs inside a {@code PointerScope} that ends with the batch, so that an iterator
 * needs no scope of its own.
 *
 * @param <B> the batch of the policy
 */
public final class TrainingState<B> implements Checkpointable, AutoCloseable {
  private static final Gson GSON = new Gson();

  private final Lifetime lifetime = new Lifetime("TrainingState");
  private final Policy<B> policy;
  private final FineTuneConfig config;
  private final LayerAlignment alignment; // or null
  private final List<Tensor> trained = new ArrayList<>();
  private final List<Tensor> locked = new ArrayList<>();
  private final BatchPass<B> pass;
  private final AdamW optimizer;
  private final StepInterval interval = new StepInterval();
  private final GradientAccumulation<B> accumulation;
  private Progress progress = Progress.begin(0);

  /**
   * Prepares a fine-tuning; nothing is trained yet. Policy and teacher stay the caller's to close,
   * after this object.
   *
   * @param teacher may be null in modes other than {@link Mode#ALIGN}; with one, and with aligned
   *     layers, {@link #evaluate} measures the alignment in any mode
   * @throws IllegalArgumentException if the teacher is missing or of another width than the
   *     projectors, or if nothing is left to train
   */
  public TrainingState(Policy<B> policy, Teacher<B> teacher, FineTuneConfig config) {
    this.policy = Objects.requireNonNull(policy, "policy");
    this.config = Objects.requireNonNull(config, "config");
    if (teacher == null && config.mode() == Mode.ALIGN) {
      throw new IllegalArgumentException("teacher must be given in mode ALIGN, found null");
    }
    boolean measured = teacher != null && !config.alignedLayers().isEmpty();
    if (measured && teacher.width() != config.projector().teacherSize()) {
      throw new IllegalArgumentException(
          "projector.teacherSize must be the teacher's width %s, found %s"
              .formatted(teacher.width(), config.projector().teacherSize()));
    }
    policy
        .trainableParameters()
        .forEach(
            (name, parameter) -> {
              boolean lock = config.mode() == Mode.FREEZE && policy.isVisionParameter(name);
              (lock ? locked : trained).add(parameter);
            });
    if (trained.isEmpty()) {
      throw new IllegalArgumentException(
          "policy must have a parameter to train in mode " + config.mode() + ", found none");
    }
    this.alignment = measured ? new LayerAlignment(config, Device.of(trained.get(0))) : null;
    if (config.mode() == Mode.ALIGN) {
      trained.addAll(alignment.trainedParameters());
    }
    this.pass = new BatchPass<>(policy, teacher, alignment, config.lambda());
    this.accumulation =
        new GradientAccumulation<>(
            config, pass, interval.stepMeans(), this::zeroGradients, this::randomParts);
    this.optimizer = new AdamW(trained, config.optimizer());
    // Spares the vision encoder's backward pass; undone in close.
    locked.forEach(parameter -> parameter.set_requires_grad(false));
  }

  public FineTuneConfig config() {
    return config;
  }

  public Policy<B> policy() {
    return policy;
  }

  /** The projectors by layer, owned by this object; empty without teacher or aligned layers. */
  public Map<Integer, AlignmentProjector> projectors() {
    return alignment == null ? Map.of() : alignment.projectors();
  }

  /** The tensors the optimizer has. */
  public List<Tensor> trained() {
    return List.copyOf(trained);
  }

  /**
   * Begins a run: its counters are 0, there are no gradients, and libtorch's random numbers are
   * those of the seed. Parameters, the optimizer's state and {@code stepsDone} stay.
   */
  public void begin() {
    lifetime.check();
    torch.manual_seed(config.seed());
    zeroGradients();
    interval.close();
    progress = Progress.begin(progress.stepsDone());
  }

  /**
   * One optimizer step: {@code config.gradientAccumulation()} micro-batches forwards and backwards,
   * then AdamW with the learning rate of the schedule.
   *
   * @return whether there were batches enough; if not, nothing was learnt from those there were
   */
  public boolean step(Iterator<? extends B> batches) {
    long start = System.nanoTime();
    OptionalLong samples = accumulation.run(batches, progress.stepsDone() + 1);
    if (samples.isEmpty()) {
      return false;
    }
    double learningRate =
        config.optimizer().learningRate()
            * config.schedule().factor(progress.steps(), config.steps());
    optimizer.setLearningRate(learningRate);
    Tensor report = optimizer.stepAsync(1.0 / config.gradientAccumulation());
    double elapsed = (System.nanoTime() - start) * 1e-9;
    progress = progress.stepped(elapsed);
    interval.completeStep(report, learningRate, samples.getAsLong(), elapsed);
    return true;
  }

  /** What listeners should be warned of since the last call. */
  List<String> takeWarnings() {
    return accumulation.takeWarnings();
  }

  /** Steps since the last event. */
  public int pendingSteps() {
    return interval.steps();
  }

  /** What these steps did; waits for the device if there is one. There must be one at least. */
  public StepEvent takeEvent() {
    int counted = interval.steps();
    int done = progress.stepsDone();
    StepEvent event = interval.toEvent(done, done - progress.steps() + config.steps());
    progress = progress.told(counted, event.skippedSteps());
    return event;
  }

  /**
   * Measures the policy on batches, without gradients and dropout.
   *
   * @throws IllegalArgumentException if there is no batch
   */
  public Evaluation evaluate(Iterator<? extends B> batches) {
    lifetime.check();
    long start = System.nanoTime();
    int count = 0;
    train(false);
    try (NoGradGuard noGrad = new NoGradGuard();
        ScalarMeans means = new ScalarMeans()) {
      while (batches.hasNext()) {
        try (PointerScope scope = new PointerScope()) {
          B batch = batches.next();
          try {
            pass.evaluate(batch, alignment != null, means);
          } finally {
            BatchPass.close(batch);
          }
        }
        count++;
      }
      if (count == 0) {
        throw new IllegalArgumentException("evaluation batches must be at least 1, found none");
      }
      MeanValues values = new MeanValues(means.take());
      return new Evaluation(
          progress.stepsDone(),
          count,
          values.actionLoss(),
          values.alignmentLoss(),
          values.cosine(),
          values.metrics(),
          (System.nanoTime() - start) * 1e-9);
    } finally {
      train(true);
    }
  }

  private void train(boolean training) {
    policy.train(training);
    if (alignment != null) {
      alignment.train(training);
    }
  }

  public Progress progress() {
    return progress;
  }

  /** Steps of this run that changed something; waits for the device. */
  public int takenSteps() {
    return progress.steps() - progress.skippedSteps() - interval.skippedSteps();
  }

  /** Notes, for checkpoints too, that listeners were told of an evaluation after this step. */
  public void markEvaluated() {
    progress = progress.evaluated();
  }

  /** Everything of this that a checkpoint has to hold. */
  public List<Checkpointable> parts() {
    List<Checkpointable> parts = new ArrayList<>();
    parts.add(this);
    parts.add(interval);
    parts.add(accumulation);
    parts.add(new TensorsPart("parameters", policy::trainableParameters));
    if (config.mode() == Mode.ALIGN && config.projector().trainable()) {
      parts.add(new TensorsPart("projectors", () -> ProjectorFile.tensors(projectors())));
    }
    parts.add(new OptimizerPart(optimizer));
    parts.addAll(randomParts());
    return parts;
  }

  /** Where random numbers come from. */
  private List<Checkpointable> randomParts() {
    List<Checkpointable> parts = new ArrayList<>();
    if (config.mode() == Mode.ALIGN && config.projector().trainable()) {
      parts.add(new RandomPositions("projector-dropout", alignment.dropouts()));
    }
    parts.add(new RandomPart());
    if (policy instanceof Checkpointable more) {
      parts.add(more);
    }
    return parts;
  }

  /** What to throw for a failure of the run: itself, or an error that says what to lower. */
  RuntimeException explain(Throwable failure) {
    if (DeviceLostException.isLost(failure)) {
      return new DeviceLostException(progress.stepsDone() + 1, failure);
    }
    return TrainingMemoryException.of(
        failure, progress.stepsDone() + 1, accumulation.largestBatch(), config);
  }

  void zeroGradients() {
    try (PointerScope scope = new PointerScope();
        NoGradGuard noGrad = new NoGradGuard()) {
      for (Tensor parameter : trained) {
        Tensor gradient = parameter.grad();
        if (gradient.defined()) {
          gradient.zero_();
        }
      }
    }
  }

  @Override
  public String name() {
    return "run";
  }

  @Override
  public State state() {
    return State.ofJson(GSON.toJson(progress));
  }

  @Override
  public void restore(State state) {
    progress = GSON.fromJson(state.json(), Progress.class);
  }

  /** Frees optimizer and projectors and unlocks what was locked; policy and teacher stay open. */
  @Override
  public void close() {
    lifetime.close(
        () -> {
          locked.forEach(parameter -> parameter.set_requires_grad(true));
          interval.close();
          optimizer.close();
          if (alignment != null) {
            alignment.close();
          }
        });
  }
}
