package org.sightline.train;

import com.google.gson.Gson;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import org.bytedeco.pytorch.Tensor;
import org.sightline.AdamW;
import org.sightline.train.FineTuneResult.End;
import org.sightline.train.checkpoint.Checkpointable;
import org.sightline.train.checkpoint.RunCheckpoints;

/** The loop of one {@link FineTuner#run}: steps, events, evaluations, and when to stop. */
final class TrainingRun<B> implements Checkpointable, AutoCloseable {
  private static final Gson GSON = new Gson();

  private record Progress(
      int stepsDone,
      int steps,
      int skippedSteps,
      int skippedInExcess,
      double seconds,
      int evaluatedAt) {}

  private final FineTuneConfig config;
  private final FineTuner<B> tuner;
  private final BatchPass<B> pass;
  private final AdamW optimizer;
  private final Iterator<? extends B> batches;
  private final Supplier<? extends Iterator<? extends B>> evaluation;
  private final RunCheckpoints checkpoints;
  private final List<TrainingListener> listeners;

  private final StepInterval interval = new StepInterval();
  private final Divergence divergence;
  private final List<Evaluation> evaluations = new ArrayList<>();
  private StepEvent lastEvent;
  private int steps;
  private int skippedSteps;
  private double seconds;
  private int evaluatedAt = -1;
  private long largestBatch;

  TrainingRun(
      FineTuner<B> tuner,
      BatchPass<B> pass,
      AdamW optimizer,
      Iterator<? extends B> batches,
      Supplier<? extends Iterator<? extends B>> evaluation,
      RunCheckpoints checkpoints,
      List<TrainingListener> listeners) {
    this.config = tuner.config();
    this.tuner = tuner;
    this.pass = pass;
    this.optimizer = optimizer;
    this.batches = batches;
    this.evaluation = evaluation;
    this.checkpoints = checkpoints;
    this.listeners = listeners;
    this.divergence = new Divergence(config);
  }

  StepInterval interval() {
    return interval;
  }

  /**
   * @param resumed whether a checkpoint was restored
   */
  FineTuneResult toEnd(boolean resumed) throws TrainingDivergedException {
    checkpoints.begin(takenSteps());
    // A run that was saved because it had been stopped stays so.
    End end = resumed && stopRequested() ? End.STOPPED : End.COMPLETED;
    int totalSteps = tuner.stepsDone() - steps + config.steps();
    if (config.initialEvaluation() && evaluation != null && !resumed) {
      evaluate();
    }
    while (end == End.COMPLETED && steps < config.steps()) {
      end = step();
      if (end == End.INTERRUPTED) {
        // Before the event of an interval that is not full: the run that goes on will fill it.
        checkpoints.saveLast(tuner.stepsDone());
      }
      boolean last = end != End.COMPLETED || steps == config.steps();
      if (interval.steps() > 0 && (last || interval.steps() == config.logInterval())) {
        int counted = interval.steps();
        lastEvent = interval.toEvent(tuner.stepsDone(), totalSteps);
        skippedSteps += lastEvent.skippedSteps();
        listeners.forEach(listener -> listener.step(lastEvent));
        divergence.check(lastEvent, counted);
      }
      if (end == End.COMPLETED && isEvaluationDue(last)) {
        evaluate();
      }
      if (end == End.COMPLETED && stopRequested()) {
        end = End.STOPPED;
      }
      if (end == End.COMPLETED && !last && checkpoints.isDue(tuner.stepsDone())) {
        divergence.check(pass.policy().trainableParameters());
        checkpoints.saveIfLearnt(tuner.stepsDone(), takenSteps());
      }
    }
    boolean evaluated = evaluatedAt == tuner.stepsDone();
    if (evaluation != null && steps > 0 && !evaluated && end != End.INTERRUPTED) {
      evaluate();
    }
    if (end != End.INTERRUPTED) {
      divergence.checkEnd(steps, skippedSteps);
      divergence.check(pass.policy().trainableParameters());
      checkpoints.saveLast(tuner.stepsDone());
    }
    return new FineTuneResult(
        end,
        steps,
        skippedSteps,
        seconds,
        Optional.ofNullable(lastEvent),
        List.copyOf(evaluations));
  }

  /** Steps of this run that changed something. */
  int takenSteps() {
    return steps - skippedSteps - interval.skippedSteps();
  }

  private boolean isInterrupted() {
    return Thread.currentThread().isInterrupted()
        || listeners.stream().anyMatch(TrainingListener::interruptRequested);
  }

  private boolean stopRequested() {
    return listeners.stream().anyMatch(TrainingListener::stopRequested);
  }

  private boolean isEvaluationDue(boolean last) {
    int every = config.evaluationInterval();
    return evaluation != null && (last || every > 0 && tuner.stepsDone() % every == 0);
  }

  private void evaluate() throws TrainingDivergedException {
    Iterator<? extends B> held = evaluation.get();
    try {
      Evaluation result = tuner.evaluate(held);
      evaluations.add(result);
      evaluatedAt = result.step();
      listeners.forEach(listener -> listener.evaluation(result));
      divergence.check(result);
    } finally {
      BatchPass.close(held);
    }
  }

  /** One optimizer step, or the reason why it could not be completed. */
  private End step() {
    long start = System.nanoTime();
    long samples = 0;
    for (int micro = 0; micro < config.gradientAccumulation(); micro++) {
      // Only between steps: a batch that was taken from the data must be learnt from.
      if (micro == 0 && isInterrupted()) {
        return End.INTERRUPTED;
      }
      if (!batches.hasNext()) {
        if (micro > 0) {
          tuner.zeroGradients();
          // The interval never gets to see the means of these micro-batches.
        }
        return End.OUT_OF_DATA;
      }
      long batch = pass.run(batches, config.mode() == Mode.ALIGN, true, interval.stepMeans());
      largestBatch = Math.max(largestBatch, batch);
      samples += batch;
    }
    double learningRate =
        config.optimizer().learningRate() * config.schedule().factor(steps, config.steps());
    optimizer.setLearningRate(learningRate);
    Tensor report = optimizer.stepAsync(1.0 / config.gradientAccumulation());
    steps++;
    tuner.countStep();
    double elapsed = (System.nanoTime() - start) * 1e-9;
    seconds += elapsed;
    interval.completeStep(report, learningRate, samples, elapsed);
    return End.COMPLETED;
  }

  /** The failure itself, or what explains it. */
  RuntimeException explain(RuntimeException failure) {
    return TrainingMemoryException.of(failure, tuner.stepsDone() + 1, largestBatch, config);
  }

  /** Java's own heap, or JavaCPP's limits, ran out. */
  RuntimeException explain(OutOfMemoryError failure) {
    return TrainingMemoryException.explained(failure, tuner.stepsDone() + 1, largestBatch, config);
  }

  @Override
  public String name() {
    return "run";
  }

  @Override
  public State state() {
    return State.ofJson(
        GSON.toJson(
            new Progress(
                tuner.stepsDone(),
                steps,
                skippedSteps,
                divergence.excess(),
                seconds,
                evaluatedAt)));
  }

  @Override
  public void restore(State state) {
    Progress progress = GSON.fromJson(state.json(), Progress.class);
    tuner.setStepsDone(progress.stepsDone);
    steps = progress.steps;
    skippedSteps = progress.skippedSteps;
    divergence.restore(progress.skippedInExcess);
    seconds = progress.seconds;
    evaluatedAt = progress.evaluatedAt;
  }

  @Override
  public void close() {
    interval.close();
  }
}
