package org.sightline.train;

import com.google.gson.Gson;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.sightline.train.checkpoint.Checkpointable;

/**
 * Gathers what the steps between two events did. Values stay on their device until the event, so
 * that a step never waits for it.
 */
final class StepInterval implements Checkpointable, AutoCloseable {
  /** Places in the sums of the optimizer's reports, as {@code AdamW.stepAsync} orders them. */
  private static final int GRAD_NORM = 0;

  private static final int NON_FINITE = 2;
  private static final int SKIPPED = 3;

  private static final Gson GSON = new Gson();

  /** What is not on a device. */
  private record Counts(
      List<String> names,
      double weights,
      int steps,
      long samples,
      double seconds,
      double learningRate) {}

  private final ScalarMeans means = new ScalarMeans();
  private final ScalarMeans stepMeans = new ScalarMeans();
  private Tensor reports;
  private int steps;
  private long samples;
  private double seconds;
  private double learningRate;

  /** Where the batches of the step under way go. */
  ScalarMeans stepMeans() {
    return stepMeans;
  }

  int steps() {
    return steps;
  }

  /** How many of them changed nothing; waits for the device. */
  int skippedSteps() {
    return steps == 0 ? 0 : (int) read(reports)[SKIPPED];
  }

  /**
   * @param report [4] as {@code AdamW.stepAsync} returns it
   */
  void completeStep(Tensor report, double learningRate, long samples, double seconds) {
    means.addAll(stepMeans);
    try (PointerScope scope = new PointerScope();
        NoGradGuard noGrad = new NoGradGuard()) {
      // In fp64, as the sum of counts must be exact and that of norms does no harm.
      Tensor row = report.to(torch.ScalarType.Double);
      if (reports == null) {
        reports = row.clone().retainReference();
      } else {
        reports.add_(row);
      }
    }
    steps++;
    this.learningRate = learningRate;
    this.samples += samples;
    this.seconds += seconds;
  }

  /** Sums the interval up, waiting for the device if there is one, and begins the next. */
  StepEvent toEvent(int step, int totalSteps) {
    long start = System.nanoTime();
    MeanValues values = new MeanValues(means.take());
    double[] report = read(reports);
    seconds += (System.nanoTime() - start) * 1e-9;
    StepEvent event =
        new StepEvent(
            step,
            totalSteps,
            values.actionLoss(),
            values.alignmentLoss(),
            values.totalLoss(),
            values.cosine(),
            report[GRAD_NORM] / steps,
            learningRate,
            (int) report[SKIPPED],
            (long) report[NON_FINITE],
            values.metrics(),
            seconds / steps,
            samples == 0 ? Double.NaN : samples / seconds);
    reset();
    return event;
  }

  private static double[] read(Tensor tensor) {
    try (PointerScope scope = new PointerScope()) {
      double[] values = new double[(int) tensor.numel()];
      tensor.cpu().data_ptr_double().get(values);
      return values;
    }
  }

  private void reset() {
    means.close();
    if (reports != null) {
      reports.close();
    }
    reports = null;
    steps = 0;
    samples = 0;
    seconds = 0;
  }

  @Override
  public String name() {
    return "interval";
  }

  /** Between two steps: those since the last event. */
  @Override
  public State state() {
    if (steps == 0) {
      return State.ofJson("{}");
    }
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    tensors.put("means", means.sums());
    tensors.put("reports", reports);
    Counts counts =
        new Counts(means.names(), means.weights(), steps, samples, seconds, learningRate);
    return new State(tensors, GSON.toJson(counts));
  }

  @Override
  public void restore(State state) {
    reset();
    Counts counts = GSON.fromJson(state.json(), Counts.class);
    if (counts.steps > 0) {
      means.restore(counts.names, state.tensors().get("means"), counts.weights);
      reports = state.tensors().get("reports").clone().retainReference();
      steps = counts.steps;
      samples = counts.samples;
      seconds = counts.seconds;
      learningRate = counts.learningRate;
    }
  }

  @Override
  public void close() {
    reset();
    stepMeans.close();
  }
}
