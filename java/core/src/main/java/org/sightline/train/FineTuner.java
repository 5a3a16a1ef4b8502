package org.sightline.train;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.sightline.train.FineTuneResult.End;
import org.sightline.train.checkpoint.CheckpointException;
import org.sightline.train.checkpoint.CheckpointStore;
import org.sightline.train.checkpoint.Checkpointable;
import org.sightline.train.checkpoint.RunCheckpoints;

/**
 * Fine-tunes a {@link Policy} with AdamW: plainly, with its vision encoder locked, or with its
 * image tokens aligned to a frozen {@link Teacher} (arXiv 2510.25616), as {@link Mode} says.
 *
 * <pre>{@code
 * try (TrainingState<VlaBatch> state = new TrainingState<>(policy, teacher, config)) {
 *   Evaluation before = state.evaluate(evaluationBatches());
 *   FineTuneResult result = FineTuner.fit(state, trainingBatches, ProgressBar.detect());
 * }
 * }</pre>
 *
 * <p>A run with the same seed, policy, batches and mode gives the same bits on the same number of
 * threads (libtorch's own products round differently with it); so does one that is given a {@link
 * CheckpointStore}, broken off at any moment, and run again with all of these made anew.
 */
public final class FineTuner<B> {
  private final TrainingState<B> state;
  private final FineTuneConfig config;
  private final Iterator<? extends B> batches;
  private final Supplier<? extends Iterator<? extends B>> evaluation; // or null
  private final RunCheckpoints checkpoints;
  private final List<TrainingListener> listeners;
  private final Divergence divergence;
  private final List<Evaluation> evaluations = new ArrayList<>();

  private FineTuner(
      TrainingState<B> state,
      Iterator<? extends B> batches,
      Supplier<? extends Iterator<? extends B>> evaluation,
      CheckpointStore store,
      List<TrainingListener> listeners) {
    this.state = state;
    this.config = state.config();
    this.batches = batches;
    this.evaluation = evaluation;
    this.listeners = listeners;
    this.divergence = new Divergence(config);
    List<Checkpointable> parts = new ArrayList<>(state.parts());
    Stream.concat(Stream.of(batches), listeners.stream())
        .filter(Checkpointable.class::isInstance)
        .forEach(part -> parts.add((Checkpointable) part));
    this.checkpoints =
        new RunCheckpoints(store, config.identity(), config.checkpointInterval(), parts);
  }

  /** As the longer form, without evaluation and checkpoints. */
  public static <B> FineTuneResult fit(
      TrainingState<B> state, Iterator<? extends B> batches, TrainingListener... listeners)
      throws TrainingDivergedException {
    return fit(state, batches, null, null, listeners);
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
   * @param store where to save checkpoints, every {@code config.checkpointInterval()} steps and at
   *     the end, and what to resume from; null for none
   * @param listeners told in this order
   * @throws java.io.UncheckedIOException if a checkpoint cannot be written, or there are some but
   *     none can be restored, caused by a {@link CheckpointException}
   * @throws IllegalArgumentException if a checkpoint is of another run, or the batches cannot be
   *     resumed
   * @throws TrainingDivergedException if the run no longer learns: its steps are mostly skipped, or
   *     a loss or trained tensor is not finite
   * @throws TrainingMemoryException if memory does not suffice
   * @throws DeviceLostException if the GPU no longer computes
   */
  public static <B> FineTuneResult fit(
      TrainingState<B> state,
      Iterator<? extends B> batches,
      Supplier<? extends Iterator<? extends B>> evaluation,
      CheckpointStore store,
      TrainingListener... listeners)
      throws TrainingDivergedException {
    if (store != null && !(batches instanceof Checkpointable)) {
      throw new IllegalArgumentException(
          "batches must be Checkpointable for a run with checkpoints, found "
              + batches.getClass().getName());
    }
    state.begin();
    var tuner = new FineTuner<>(state, batches, evaluation, store, List.of(listeners));
    try {
      return tuner.run();
    } catch (TrainingDivergedException e) {
      tuner.checkpoints.setAsideIfUseless(state.takenSteps());
      throw tuner.failed(e);
    } catch (RuntimeException | OutOfMemoryError e) {
      throw tuner.failed(state.explain(e));
    } catch (Error e) {
      throw tuner.failed(e);
    }
  }

  private FineTuneResult run() throws TrainingDivergedException {
    OptionalInt found = checkpoints.restore(text -> tell(listener -> listener.warning(text)));
    found.ifPresent(step -> tell(listener -> listener.resume(step)));
    int tensors = state.trained().size();
    long parameters = state.trained().stream().mapToLong(Tensor::numel).sum();
    tell(listener -> listener.begin(config, tensors, parameters));
    checkpoints.begin(state.takenSteps());
    FineTuneResult result = loop(found.isPresent());
    tell(listener -> listener.end(result));
    return result;
  }

  /** Steps, events, evaluations and checkpoints until there is an end to them. */
  private FineTuneResult loop(boolean resumed) throws TrainingDivergedException {
    StepEvent lastEvent = null;
    // A run that was saved because it had been stopped stays so.
    End end = resumed && stopRequested() ? End.STOPPED : null;
    if (config.initialEvaluation() && !resumed) {
      evaluate();
    }
    while (end == null && state.progress().steps() < config.steps()) {
      if (isInterrupted()) {
        end = End.INTERRUPTED;
        // Before the event of an interval that is not full: the run that goes on will fill it.
        checkpoints.saveLast(step());
      } else if (!state.step(batches)) {
        end = End.OUT_OF_DATA;
      }
      state.takeWarnings().forEach(text -> tell(listener -> listener.warning(text)));
      boolean last = end != null || state.progress().steps() == config.steps();
      int pending = state.pendingSteps();
      if (pending > 0 && (last || pending == config.logInterval())) {
        StepEvent event = state.takeEvent();
        lastEvent = event;
        tell(listener -> listener.step(event));
        divergence.check(event, state.progress().skippedInExcess());
      }
      int every = config.evaluationInterval();
      if (end == null && (last || every > 0 && step() % every == 0)) {
        evaluate();
      }
      if (end == null && stopRequested()) {
        end = End.STOPPED;
      }
      if (end == null && !last && checkpoints.isDue(step())) {
        divergence.check(state.policy().trainableParameters());
        checkpoints.saveIfLearnt(step(), state.takenSteps());
      }
    }
    Progress progress = state.progress();
    if (end != End.INTERRUPTED) {
      if (progress.steps() > 0 && progress.evaluatedAt() != step()) {
        evaluate();
      }
      divergence.checkEnd(progress.steps(), progress.skippedSteps());
      divergence.check(state.policy().trainableParameters());
      checkpoints.saveLast(step());
    }
    return new FineTuneResult(
        end == null ? End.COMPLETED : end,
        progress.steps(),
        progress.skippedSteps(),
        progress.seconds(),
        Optional.ofNullable(lastEvent),
        List.copyOf(evaluations));
  }

  private int step() {
    return state.progress().stepsDone();
  }

  private void tell(Consumer<TrainingListener> event) {
    listeners.forEach(event);
  }

  /** Asked between steps alone: a batch that was taken from the data must be learnt from. */
  private boolean isInterrupted() {
    return Thread.currentThread().isInterrupted()
        || listeners.stream().anyMatch(TrainingListener::interruptRequested);
  }

  private boolean stopRequested() {
    return listeners.stream().anyMatch(TrainingListener::stopRequested);
  }

  private void evaluate() throws TrainingDivergedException {
    if (evaluation == null) {
      return;
    }
    Iterator<? extends B> held = evaluation.get();
    try {
      Evaluation result = state.evaluate(held);
      evaluations.add(result);
      state.markEvaluated();
      tell(listener -> listener.evaluation(result));
      divergence.check(result);
    } finally {
      BatchPass.close(held);
    }
  }

  private <T extends Throwable> T failed(T cause) {
    try {
      state.zeroGradients();
    } catch (RuntimeException e) { // The device is gone.
      cause.addSuppressed(e);
    }
    tell(listener -> listener.failure(cause));
    return cause;
  }
}
