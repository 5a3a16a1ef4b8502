package org.sightline.train;

import org.sightline.Checks;

/**
 * The learning rate over a run, as a factor of {@link org.sightline.AdamW.Config#learningRate}.
 *
 * <p>With {@code s} the steps done (0 before the first), {@code w} the warm-up's and {@code n}
 * those of the run, the factor is {@code s / w} while {@code s < w}, then
 *
 * <pre>
 * constant   1
 * cosine     max(0, ½ (1 + cos(π p)))     p = (s − w) / max(1, n − w)
 * linear     max(0, (n − s) / max(1, n − w))
 * </pre>
 *
 * These are {@code get_constant_schedule_with_warmup}, {@code get_cosine_schedule_with_warmup}
 * (half a cycle) and {@code get_linear_schedule_with_warmup} of Hugging Face transformers ({@code
 * optimization.py}); so the first step of a warm-up has the rate 0. Steps that are skipped count.
 */
public sealed interface LearningRateSchedule {
  /** Steps in which the rate rises from 0. */
  int warmupSteps();

  /** The factor after the warm-up. */
  double afterWarmup(int step, int steps);

  /**
   * The factor for the step that follows {@code step} steps.
   *
   * @param step steps done, ≥ 0
   * @param steps of the whole run
   */
  default double factor(int step, int steps) {
    return step < warmupSteps() ? (double) step / warmupSteps() : afterWarmup(step, steps);
  }

  /** Stays at the full rate. */
  record Constant(int warmupSteps) implements LearningRateSchedule {
    /** Checks the number of steps. */
    public Constant {
      Checks.atLeast("warmupSteps", warmupSteps, 0);
    }

    @Override
    public double afterWarmup(int step, int steps) {
      return 1;
    }
  }

  /** Falls to 0 along half a cosine. */
  record Cosine(int warmupSteps) implements LearningRateSchedule {
    /** Checks the number of steps. */
    public Cosine {
      Checks.atLeast("warmupSteps", warmupSteps, 0);
    }

    @Override
    public double afterWarmup(int step, int steps) {
      double progress = (double) (step - warmupSteps) / Math.max(1, steps - warmupSteps);
      return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
    }
  }

  /** Falls to 0 along a line. */
  record Linear(int warmupSteps) implements LearningRateSchedule {
    /** Checks the number of steps. */
    public Linear {
      Checks.atLeast("warmupSteps", warmupSteps, 0);
    }

    @Override
    public double afterWarmup(int step, int steps) {
      return Math.max(0, (double) (steps - step) / Math.max(1, steps - warmupSteps));
    }
  }
}
