package org.sightline.train;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import org.sightline.AdamW;
import org.sightline.train.FineTuneResult.End;

/** The loop of one {@link FineTuner#run}: steps, events, evaluations, and when to stop. */
final class TrainingRun<B> {
  private final FineTuneConfig config;
  private final FineTuner<B> tuner;
  private final BatchPass<B> pass;
  private final AdamW optimizer;
  private final Iterator<? extends B> batches;
  private final Supplier<? extends Iterator<? extends B>> evaluation;
  private final List<TrainingListener> listeners;

  private final List<Evaluation> evaluations = new ArrayList<>();
  private StepEvent lastEvent;
  private int steps;
  private int skippedSteps;
  private double seconds;

  TrainingRun(
      FineTuner<B> tuner,
      BatchPass<B> pass,
      AdamW optimizer,
      Iterator<? extends B> batches,
      Supplier<? extends Iterator<? extends B>> evaluation,
      List<TrainingListener> listeners) {
    this.config = tuner.config();
    this.tuner = tuner;
    this.pass = pass;
    this.optimizer = optimizer;
    this.batches = batches;
    this.evaluation = evaluation;
    this.listeners = listeners;
  }

  FineTuneResult toEnd() {
    End end = End.COMPLETED;
    int totalSteps = tuner.stepsDone() + config.steps();
    try (StepInterval interval = new StepInterval()) {
      while (end == End.COMPLETED && steps < config.steps()) {
        end = step(interval);
        boolean last = end != End.COMPLETED || steps == config.steps();
        if (interval.steps() > 0 && (last || interval.steps() == config.logInterval())) {
          lastEvent = interval.toEvent(tuner.stepsDone(), totalSteps);
          listeners.forEach(listener -> listener.step(lastEvent));
        }
        if (end == End.COMPLETED && isEvaluationDue(last)) {
          evaluate();
        }
        if (end == End.COMPLETED && listeners.stream().anyMatch(TrainingListener::stopRequested)) {
          end = End.STOPPED;
        }
      }
    }
    boolean evaluated =
        !evaluations.isEmpty()
            && evaluations.get(evaluations.size() - 1).step() == tuner.stepsDone();
    if (evaluation != null && steps > 0 && !evaluated && end != End.INTERRUPTED) {
      evaluate();
    }
    return new FineTuneResult(
        end,
        steps,
        skippedSteps,
        seconds,
        Optional.ofNullable(lastEvent),
        List.copyOf(evaluations));
  }

  private boolean isEvaluationDue(boolean last) {
    int every = config.evaluationInterval();
    return evaluation != null && (last || every > 0 && tuner.stepsDone() % every == 0);
  }

  private void evaluate() {
    Iterator<? extends B> held = evaluation.get();
    try {
      Evaluation result = tuner.evaluate(held);
      evaluations.add(result);
      listeners.forEach(listener -> listener.evaluation(result));
    } finally {
      BatchPass.close(held);
    }
  }

  /** One optimizer step, or the reason why it could not be completed. */
  private End step(StepInterval interval) {
    long start = System.nanoTime();
    long samples = 0;
    for (int micro = 0; micro < config.gradientAccumulation(); micro++) {
      End obstacle =
          Thread.currentThread().isInterrupted()
              ? End.INTERRUPTED
              : batches.hasNext() ? null : End.OUT_OF_DATA;
      if (obstacle != null) {
        if (micro > 0) {
          tuner.zeroGradients();
          // The interval never gets to see the means of these micro-batches.
        }
        return obstacle;
      }
      samples += pass.run(batches, config.mode() == Mode.ALIGN, true, interval.stepMeans());
    }
    AdamW.Report report = optimizer.step(1.0 / config.gradientAccumulation());
    steps++;
    tuner.countStep();
    double elapsed = (System.nanoTime() - start) * 1e-9;
    seconds += elapsed;
    skippedSteps += report.skipped() ? 1 : 0;
    interval.completeStep(report, samples, elapsed);
    return End.COMPLETED;
  }
}
