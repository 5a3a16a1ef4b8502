package org.sightline.train;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalInt;
import java.util.function.Supplier;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.sightline.AdamW;
import org.sightline.AlignmentProjector;
import org.sightline.train.checkpoint.CheckpointException;
import org.sightline.train.checkpoint.CheckpointStore;
import org.sightline.train.checkpoint.Checkpointable;
import org.sightline.train.checkpoint.OptimizerPart;
import org.sightline.train.checkpoint.RandomPart;
import org.sightline.train.checkpoint.RandomPositions;
import org.sightline.train.checkpoint.RunCheckpoints;
import org.sightline.train.checkpoint.TensorsPart;

/**
 * Fine-tunes a {@link Policy} with AdamW: plainly, with its vision encoder locked, or with its
 * image tokens aligned to a frozen {@link Teacher} (arXiv 2510.25616), as {@link Mode} says.
 *
 * <pre>{@code
 * try (FineTuner<VlaBatch> tuner = new FineTuner<>(policy, teacher, config)) {
 *   Evaluation before = tuner.evaluate(evaluationBatches());
 *   FineTuneResult result =
 *       tuner.run(trainingBatches, this::evaluationBatches, ProgressBar.detect());
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
 * <p>A run with the same seed, policy, batches and mode gives the same bits on the same number of
 * threads (libtorch's own products round differently with it); so does one that is given a {@link
 * CheckpointStore}, broken off at any moment, and run again with all of these made anew.
 *
 * @param <B> the batch of the policy
 */
public final class FineTuner<B> implements AutoCloseable {
  private final Policy<B> policy;
  private final FineTuneConfig config;
  private final LayerAlignment alignment;
  private final List<Tensor> trained = new ArrayList<>();
  private final List<Tensor> locked = new ArrayList<>();
  private final BatchPass<B> pass;
  private final AdamW optimizer;
  private int stepsDone;
  private boolean closed;

  /**
   * Prepares a fine-tuning; nothing is trained yet. Policy and teacher stay the caller's to close,
   * after this object.
   *
   * @param teacher may be null in modes other than {@link Mode#ALIGN}; with one, and with aligned
   *     layers, {@link #evaluate} measures the alignment in any mode
   * @throws IllegalArgumentException if the teacher is missing or of another width than the
   *     projectors, or if nothing is left to train
   */
  public FineTuner(Policy<B> policy, Teacher<B> teacher, FineTuneConfig config) {
    this.policy = Objects.requireNonNull(policy, "policy");
    this.config = Objects.requireNonNull(config, "config");
    if (teacher == null && config.mode() == Mode.ALIGN) {
      throw new IllegalArgumentException("teacher must be given in mode ALIGN, found null");
    }
    boolean measured = teacher != null && !config.alignedLayers().isEmpty();
    if (measured && teacher.width() != config.projector().teacherSize()) {
      throw new IllegalArgumentException(
          "projector.teacherSize must be the teacher's width "
              + teacher.width()
              + ", found "
              + config.projector().teacherSize());
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
    this.alignment = measured ? new LayerAlignment(config) : null;
    if (config.mode() == Mode.ALIGN) {
      trained.addAll(alignment.trainedParameters());
    }
    this.pass = new BatchPass<>(policy, teacher, alignment, config.lambda());
    this.optimizer = new AdamW(trained, config.optimizer());
    // Spares the vision encoder's backward pass; undone in close.
    locked.forEach(parameter -> parameter.set_requires_grad(false));
  }

  /** The settings. */
  public FineTuneConfig config() {
    return config;
  }

  /** The projectors by layer, owned by this object; empty without teacher or aligned layers. */
  public Map<Integer, AlignmentProjector> projectors() {
    return alignment == null ? Map.of() : alignment.projectors();
  }

  /** As the longer form, without evaluation. */
  public FineTuneResult run(Iterator<? extends B> batches, TrainingListener... listeners)
      throws TrainingDivergedException {
    return run(batches, null, listeners);
  }

  /** As the longer form, without checkpoints. */
  public FineTuneResult run(
      Iterator<? extends B> batches,
      Supplier<? extends Iterator<? extends B>> evaluation,
      TrainingListener... listeners)
      throws TrainingDivergedException {
    return run(batches, evaluation, null, listeners);
  }

  /**
   * Trains for {@code config.steps()} optimizer steps, or until the batches end, a listener asks to
   * stop, or the run is interrupted. Called again it goes on with the optimizer's state and counts
   * on.
   *
   * <p>With a store that holds a checkpoint of this run, the run is taken up where that was saved:
   * parameters, optimizer, random numbers, counters, the position in the batches and the listeners
   * that are {@link Checkpointable}. A policy that has more to save than its parameters (random
   * positions, for instance) implements it too.
   *
   * @param batches micro-batches, {@code config.gradientAccumulation()} per step; {@link
   *     Checkpointable} if there is a store
   * @param evaluation gives the evaluation batches, once per evaluation; null for none. An iterator
   *     that is {@link AutoCloseable} is closed.
   * @param checkpoints where to save, every {@code config.checkpointInterval()} steps and at the
   *     end, and what to resume from; null for no checkpoints
   * @param listeners told in this order
   * @throws java.io.UncheckedIOException if a checkpoint cannot be written, or there are some but
   *     none can be restored, caused by a {@link CheckpointException}
   * @throws IllegalArgumentException if a checkpoint is of another run, or the batches cannot be
   *     resumed
   * @throws TrainingDivergedException if the run no longer learns: its steps are mostly skipped, or
   *     a loss or trained tensor is not finite
   * @throws TrainingMemoryException if memory does not suffice
   */
  public FineTuneResult run(
      Iterator<? extends B> batches,
      Supplier<? extends Iterator<? extends B>> evaluation,
      CheckpointStore checkpoints,
      TrainingListener... listeners)
      throws TrainingDivergedException {
    requireOpen();
    if (checkpoints != null && !(batches instanceof Checkpointable)) {
      throw new IllegalArgumentException(
          "batches must be Checkpointable for a run with checkpoints, found "
              + batches.getClass().getName());
    }
    List<TrainingListener> audience = List.of(listeners);
    List<Checkpointable> parts = new ArrayList<>();
    boolean nameless = checkpoints != null && checkpoints.isOfAnyRun();
    CheckpointStore own = nameless ? checkpoints.of(config.identity()) : checkpoints;
    RunCheckpoints saved = new RunCheckpoints(own, config.checkpointInterval(), () -> parts);
    try (TrainingRun<B> run =
        new TrainingRun<>(this, pass, optimizer, batches, evaluation, saved, audience)) {
      parts.addAll(parts(run, batches, audience));
      try {
        torch.manual_seed(config.seed());
        zeroGradients();
        OptionalInt step =
            saved.restore(text -> audience.forEach(listener -> listener.warning(text)));
        step.ifPresent(found -> audience.forEach(listener -> listener.resume(found)));
        long parameters = trained.stream().mapToLong(Tensor::numel).sum();
        audience.forEach(listener -> listener.begin(config, trained.size(), parameters));
        FineTuneResult result = run.toEnd(step.isPresent());
        audience.forEach(listener -> listener.end(result));
        return result;
      } catch (TrainingDivergedException e) {
        saved.setAsideIfUseless(run.takenSteps());
        throw failed(e, audience);
      } catch (RuntimeException e) {
        throw failed(run.explain(e), audience);
      } catch (OutOfMemoryError e) {
        throw failed(run.explain(e), audience);
      } catch (Error e) {
        throw failed(e, audience);
      }
    }
  }

  private <T extends Throwable> T failed(T cause, List<TrainingListener> audience) {
    zeroGradients();
    audience.forEach(listener -> listener.failure(cause));
    return cause;
  }

  /** Everything a checkpoint of this run has to hold. */
  private List<Checkpointable> parts(
      TrainingRun<B> run, Iterator<? extends B> batches, List<TrainingListener> audience) {
    List<Checkpointable> parts = new ArrayList<>();
    parts.add(run);
    parts.add(run.interval());
    parts.add(new TensorsPart("parameters", policy::trainableParameters));
    if (config.mode() == Mode.ALIGN && config.projector().trainable()) {
      parts.add(new TensorsPart("projectors", alignment::parameters));
      parts.add(new RandomPositions("projector-dropout", alignment.dropouts()));
    }
    parts.add(new OptimizerPart(optimizer));
    parts.add(new RandomPart());
    if (policy instanceof Checkpointable more) {
      parts.add(more);
    }
    if (batches instanceof Checkpointable stream) {
      parts.add(stream);
    }
    for (TrainingListener listener : audience) {
      if (listener instanceof Checkpointable part) {
        parts.add(part);
      }
    }
    return parts;
  }

  /**
   * Measures the policy on batches, without gradients and dropout.
   *
   * @throws IllegalArgumentException if there is no batch
   */
  public Evaluation evaluate(Iterator<? extends B> batches) {
    requireOpen();
    long start = System.nanoTime();
    int count = 0;
    train(false);
    try (NoGradGuard noGrad = new NoGradGuard();
        ScalarMeans means = new ScalarMeans()) {
      while (batches.hasNext()) {
        pass.run(batches, alignment != null, false, means);
        count++;
      }
      if (count == 0) {
        throw new IllegalArgumentException("evaluation batches must be at least 1, found none");
      }
      MeanValues values = new MeanValues(means.take());
      double seconds = (System.nanoTime() - start) * 1e-9;
      return new Evaluation(
          stepsDone,
          count,
          values.actionLoss(),
          values.alignmentLoss(),
          values.cosine(),
          values.metrics(),
          seconds);
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

  int stepsDone() {
    return stepsDone;
  }

  void setStepsDone(int stepsDone) {
    this.stepsDone = stepsDone;
  }

  void countStep() {
    stepsDone++;
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

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("FineTuner is closed");
    }
  }

  /** Frees optimizer and projectors and unlocks what was locked; policy and teacher stay open. */
  @Override
  public void close() {
    if (!closed) {
      closed = true;
      locked.forEach(parameter -> parameter.set_requires_grad(true));
      optimizer.close();
      if (alignment != null) {
        alignment.close();
      }
    }
  }
}
