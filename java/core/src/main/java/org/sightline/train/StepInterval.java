package org.sightline.train;

import org.sightline.AdamW;

/** Gathers what the steps between two events did. */
final class StepInterval implements AutoCloseable {
  private final ScalarMeans means = new ScalarMeans();
  private final ScalarMeans stepMeans = new ScalarMeans();
  private int steps;
  private int skippedSteps;
  private long nonFinite;
  private double gradNorms;
  private long samples;
  private double seconds;

  /** Where the batches of the step under way go. */
  ScalarMeans stepMeans() {
    return stepMeans;
  }

  int steps() {
    return steps;
  }

  void completeStep(AdamW.Report report, long samples, double seconds) {
    means.addAll(stepMeans);
    steps++;
    skippedSteps += report.skipped() ? 1 : 0;
    nonFinite += report.nonFinite();
    gradNorms += report.gradNorm();
    this.samples += samples;
    this.seconds += seconds;
  }

  /** Sums the interval up and begins the next. */
  StepEvent toEvent(int step, int totalSteps) {
    MeanValues values = new MeanValues(means.take());
    StepEvent event =
        new StepEvent(
            step,
            totalSteps,
            values.actionLoss(),
            values.alignmentLoss(),
            values.totalLoss(),
            values.cosine(),
            gradNorms / steps,
            skippedSteps,
            nonFinite,
            values.metrics(),
            seconds / steps,
            samples == 0 ? Double.NaN : samples / seconds);
    steps = 0;
    skippedSteps = 0;
    nonFinite = 0;
    gradNorms = 0;
    samples = 0;
    seconds = 0;
    return event;
  }

  @Override
  public void close() {
    means.close();
    stepMeans.close();
  }
}
