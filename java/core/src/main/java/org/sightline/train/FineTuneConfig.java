package org.sightline.train;

import io.soabase.recordbuilder.core.RecordBuilder;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import org.sightline.AdamW;
import org.sightline.Checks;
import org.sightline.ProjectorConfig;
import org.sightline.train.checkpoint.CheckpointStore;
import org.sightline.train.checkpoint.RunIdentity;

/**
 * Settings of a {@link FineTuner}, built from defaults:
 *
 * <pre>{@code
 * FineTuneConfig config =
 *     FineTuneConfig.builder(Mode.ALIGN, 2000)
 *         .alignedLayers(List.of(16))
 *         .projector(ProjectorConfig.of(4096, 2048, 1024))
 *         .gradientAccumulation(4)
 *         .build();
 * }</pre>
 *
 * @param mode what is trained, on which loss
 * @param steps optimizer steps of a run, ≥ 1
 * @param lambda λ ≥ 0 in total = action + λ · alignment
 * @param alignedLayers blocks whose image tokens are aligned, counted as in {@link Policy#forward};
 *     may be given in any mode, to measure the alignment that {@link Mode#ALIGN} would optimise
 * @param reduction what becomes of several layers' losses
 * @param teacherNorm what becomes of the teacher's features first
 * @param projector sizes of the projectors, one per aligned layer, seeded with its seed + layer;
 *     null where no layer is aligned
 * @param gradientAccumulation micro-batches per optimizer step, ≥ 1; gradients are averaged
 * @param seed of libtorch's random numbers at the start of a run
 * @param optimizer AdamW's settings
 * @param schedule of the learning rate, from the optimizer's on
 * @param logInterval steps per {@link StepEvent}, ≥ 1: values stay on the device in between
 * @param evaluationInterval steps between evaluations; 0: only at the end of a run
 * @param initialEvaluation whether there is one before the first step too
 * @param checkpointInterval steps between checkpoints, for runs that are given a {@link
 *     CheckpointStore}; 0: only at the end of a run
 * @param outOfMemory what becomes of a step that memory does not suffice for
 */
@RecordBuilder
public record FineTuneConfig(
    Mode mode,
    int steps,
    double lambda,
    List<Integer> alignedLayers,
    LayerReduction reduction,
    TeacherNorm teacherNorm,
    ProjectorConfig projector,
    int gradientAccumulation,
    long seed,
    AdamW.Config optimizer,
    LearningRateSchedule schedule,
    int logInterval,
    int evaluationInterval,
    boolean initialEvaluation,
    int checkpointInterval,
    OutOfMemory outOfMemory) {
  /** What a run may go on with otherwise: how long it is, what is told of it, and its course. */
  private static final Set<String> FREE =
      Set.of(
          "steps",
          "logInterval",
          "evaluationInterval",
          "initialEvaluation",
          "checkpointInterval",
          "outOfMemory",
          "optimizer.learningRate",
          "optimizer.maxGradNorm");

  /** The paper's λ. */
  public static final double DEFAULT_LAMBDA = 0.2;

  public FineTuneConfig {
    Objects.requireNonNull(mode, "mode");
    Objects.requireNonNull(reduction, "reduction");
    Objects.requireNonNull(teacherNorm, "teacherNorm");
    Objects.requireNonNull(optimizer, "optimizer");
    Objects.requireNonNull(schedule, "schedule");
    Objects.requireNonNull(outOfMemory, "outOfMemory");
    alignedLayers = List.copyOf(alignedLayers);
    Checks.atLeast("steps", steps, 1);
    Checks.atLeast("gradientAccumulation", gradientAccumulation, 1);
    Checks.atLeast("logInterval", logInterval, 1);
    Checks.atLeast("evaluationInterval", evaluationInterval, 0);
    Checks.atLeast("checkpointInterval", checkpointInterval, 0);
    Checks.notNegative("lambda", lambda);
    for (int layer : alignedLayers) {
      Checks.atLeast("alignedLayers", layer, 0);
    }
    if (new TreeSet<>(alignedLayers).size() != alignedLayers.size()) {
      throw new IllegalArgumentException("alignedLayers must be distinct, found " + alignedLayers);
    }
    if (mode == Mode.ALIGN && alignedLayers.isEmpty()) {
      throw new IllegalArgumentException("alignedLayers must name a layer in mode ALIGN, found []");
    }
    if (!alignedLayers.isEmpty() && projector == null) {
      throw new IllegalArgumentException(
          "projector must be given for alignedLayers " + alignedLayers + ", found null");
    }
  }

  /** The settings that make two runs the same one. */
  RunIdentity identity() {
    return RunIdentity.of(this, FREE);
  }

  /**
   * A builder that starts without alignment, evaluations or checkpoints on the way, with every step
   * logged, and {@link AdamW.Config#defaults} at a constant rate.
   */
  public static FineTuneConfigBuilder builder(Mode mode, int steps) {
    return FineTuneConfigBuilder.builder()
        .mode(mode)
        .steps(steps)
        .lambda(DEFAULT_LAMBDA)
        .alignedLayers(List.of())
        .reduction(LayerReduction.SUM)
        .teacherNorm(TeacherNorm.NONE)
        .gradientAccumulation(1)
        .optimizer(AdamW.Config.defaults())
        .schedule(new LearningRateSchedule(LearningRateSchedule.Shape.CONSTANT, 0))
        .logInterval(1)
        .outOfMemory(OutOfMemory.FAIL);
  }
}
