package org.sightline.vla.finetune;

import io.soabase.recordbuilder.core.RecordBuilder;
import java.util.List;
import java.util.Objects;
import org.sightline.AdamW;
import org.sightline.Checks;
import org.sightline.train.LearningRateSchedule;
import org.sightline.train.OutOfMemory;
import org.sightline.train.listener.EarlyStopping;

/**
 * A mode's course: how long it is, what a step is, how it is observed and kept.
 *
 * @param steps optimizer steps
 * @param batchSize samples of a micro-batch
 * @param gradientAccumulationSteps micro-batches of an optimizer step
 * @param optimizer AdamW's settings
 * @param schedule of the learning rate
 * @param gradientCheckpointing whether the decoder's blocks are computed again in the backward pass
 * @param evaluations how often the held-out episodes are looked at on the way, the end included
 * @param earlyStop null: none
 * @param logInterval steps per row of the logs
 * @param checkpointInterval steps between checkpoints; 0: at the end alone
 * @param keepCheckpoints how many of the newest stay
 * @param oom what becomes of a step that memory does not suffice for
 */
@RecordBuilder
public record TrainingConfig(
    int steps,
    int batchSize,
    int gradientAccumulationSteps,
    AdamW.Config optimizer,
    LearningRateSchedule schedule,
    boolean gradientCheckpointing,
    int evaluations,
    EarlyStop earlyStop,
    int logInterval,
    int checkpointInterval,
    int keepCheckpoints,
    OutOfMemory oom) {
  /** For a nano model. */
  public static final TrainingConfig DEFAULTS =
      TrainingConfigBuilder.builder()
          .steps(300)
          .batchSize(8)
          .gradientAccumulationSteps(1)
          .optimizer(AdamW.Config.defaults().withLearningRate(2e-3).withMaxGradNorm(1))
          .schedule(new LearningRateSchedule(LearningRateSchedule.Shape.CONSTANT, 0))
          .evaluations(5)
          .logInterval(1)
          .checkpointInterval(100)
          .keepCheckpoints(2)
          .oom(OutOfMemory.FAIL)
          .build();

  /**
   * Ends a run that does not get better.
   *
   * @param evaluations without getting better after which it ends, as many more as this at most
   * @param metric action_loss, alignment_loss, token_accuracy or action_l1 of the held-out episodes
   * @param delta by how much it must get better to count
   */
  public record EarlyStop(int evaluations, String metric, double delta) {
    private static final List<String> METRICS =
        List.of("action_loss", "alignment_loss", "token_accuracy", "action_l1");

    /** Checks every value. */
    public EarlyStop {
      Checks.atLeast("earlyStop", evaluations, 0);
      Checks.notNegative("earlyStopDelta", delta);
      if (!METRICS.contains(metric)) {
        throw new IllegalArgumentException(
            "earlyStopMetric must be one of %s, found %s".formatted(METRICS, metric));
      }
    }

    EarlyStopping listener() {
      // Accuracies are to rise, losses and errors to fall.
      boolean higher = metric.endsWith("accuracy");
      return new EarlyStopping(
          metric,
          higher ? EarlyStopping.Goal.HIGHER : EarlyStopping.Goal.LOWER,
          evaluations,
          delta);
    }
  }

  /**
   * Checks every value.
   *
   * @throws IllegalArgumentException naming the argument, the value found and the value expected
   */
  public TrainingConfig {
    Checks.atLeast("steps", steps, 1);
    Checks.atLeast("batchSize", batchSize, 1);
    Checks.atLeast("gradientAccumulationSteps", gradientAccumulationSteps, 1);
    Objects.requireNonNull(optimizer, "optimizer");
    Objects.requireNonNull(schedule, "schedule");
    Objects.requireNonNull(oom, "oom");
    Checks.atLeast("evaluations", evaluations, 1);
    Checks.atLeast("logInterval", logInterval, 1);
    Checks.atLeast("checkpointInterval", checkpointInterval, 0);
    Checks.atLeast("keepCheckpoints", keepCheckpoints, 1);
  }

  /** A builder that starts with {@link #DEFAULTS}. */
  public static TrainingConfigBuilder builder() {
    return TrainingConfigBuilder.builder(DEFAULTS);
  }

  /** Steps between evaluations, so that the last one falls on the last step. */
  int evaluationInterval() {
    return Math.max(1, (int) (((long) steps + evaluations - 1) / evaluations));
  }
}
