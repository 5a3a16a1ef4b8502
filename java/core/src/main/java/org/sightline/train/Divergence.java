package org.sightline.train;

import java.util.Map;
import java.util.OptionalDouble;
import org.bytedeco.pytorch.Tensor;
import org.sightline.Finite;

/** The rule of {@link TrainingDivergedException}, which each check throws. */
public record Divergence(FineTuneConfig config) {
  /** How many more steps may be skipped than taken. */
  private static final int LIMIT = 10;

  /**
   * @param excess how many more steps were skipped than taken
   */
  public void check(StepEvent event, int excess) throws TrainingDivergedException {
    if (event.skippedSteps() == 0 && !Double.isFinite(event.totalLoss())) {
      throw diverged(
          "step %s has total loss %s%s"
              .formatted(
                  event.step(),
                  event.totalLoss(),
                  losses(event.actionLoss(), event.alignmentLoss())));
    }
    if (excess >= LIMIT) {
      throw diverged(
          "by step %s, %s more steps were skipped than taken, as gradients were not finite"
              .formatted(event.step(), excess));
    }
  }

  public void check(Evaluation evaluation) throws TrainingDivergedException {
    if (!Double.isFinite(evaluation.actionLoss())
        || !Double.isFinite(evaluation.alignmentLoss().orElse(0))) {
      throw diverged(
          "the evaluation after step %s is not finite%s"
              .formatted(
                  evaluation.step(), losses(evaluation.actionLoss(), evaluation.alignmentLoss())));
    }
  }

  /**
   * @param trained tensors by name
   */
  public void check(Map<String, Tensor> trained) throws TrainingDivergedException {
    try {
      trained.forEach(Finite::require);
    } catch (IllegalArgumentException e) {
      throw diverged(e.getMessage());
    }
  }

  /** At the end of a run of so many steps. */
  public void checkEnd(int steps, int skipped) throws TrainingDivergedException {
    if (2 * skipped > steps) {
      throw diverged(
          skipped + " of " + steps + " steps were skipped, as gradients were not finite");
    }
  }

  private static String losses(double action, OptionalDouble alignment) {
    return " (action loss "
        + action
        + (alignment.isPresent() ? ", alignment loss " + alignment.getAsDouble() : "")
        + ")";
  }

  private TrainingDivergedException diverged(String found) {
    double clip = config.optimizer().maxGradNorm();
    return new TrainingDivergedException(
        ("the run has diverged: %s; lower the learning rate (now %s) or the norm that"
                + " gradients are clipped to (now %s), or compute in float32; if it was so from the"
                + " first step, look at weights, images and teacher")
            .formatted(found, config.optimizer().learningRate(), clip == 0 ? "never" : clip));
  }
}
