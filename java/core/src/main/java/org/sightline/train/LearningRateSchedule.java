package org.sightline.train;

import java.util.Objects;
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
 *
 * @param warmupSteps in which the rate rises from 0
 */
public record LearningRateSchedule(Shape shape, int warmupSteps) {
  /** The course after the warm-up. */
  public enum Shape {
    /** Stays at the full rate. */
    CONSTANT,
    /** Falls to 0 along half a cosine. */
    COSINE,
    /** Falls to 0 along a line. */
    LINEAR
  }

  public LearningRateSchedule {
    Objects.requireNonNull(shape, "shape");
    Checks.atLeast("warmupSteps", warmupSteps, 0);
  }

  /**
   * The factor for the step that follows {@code step} steps.
   *
   * @param step steps done, ≥ 0
   * @param steps of the whole run
   */
  public double factor(int step, int steps) {
    if (step < warmupSteps) {
      return (double) step / warmupSteps;
    }
    double left = (double) (steps - step) / Math.max(1, steps - warmupSteps);
    double progress = (double) (step - warmupSteps) / Math.max(1, steps - warmupSteps);
    return switch (shape) {
      case CONSTANT -> 1;
      case COSINE -> Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
      case LINEAR -> Math.max(0, left);
    };
  }
}
