package org.sightline.vla.cli;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.sightline.AdamW;
import org.sightline.Checks;
import org.sightline.DType;
import org.sightline.LoraConfig;
import org.sightline.train.LayerReduction;
import org.sightline.train.Mode;
import org.sightline.train.checkpoint.RunIdentity;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.teacher.VisionTeacher;

/**
 * A fine-tuning job as the command line describes it.
 *
 * @param modes run one after another, each from the same start
 * @param base the model that is fine-tuned
 * @param teacher Hugging Face folder or safetensors file of the teacher; null: random, seeded
 * @param teacherPreset which published teacher that is; null: it says so itself
 * @param tokenizer {@code tokenizer.json} or its folder; null: the base model's, or the built-in
 *     one
 * @param data what it learns from
 * @param evalFraction of the episodes held out
 * @param steps optimizer steps per mode
 * @param evaluations how often a run is evaluated on the way, its end included
 * @param alignedLayers empty: the model's own choice
 * @param projectorSize hidden width P of the alignment projector
 * @param trainProjector whether the projectors are trained too (the paper freezes them)
 */
record FinetuneSettings(
    List<Mode> modes,
    BaseModel base,
    Path teacher,
    String teacherPreset,
    Path tokenizer,
    DataSettings data,
    double evalFraction,
    int steps,
    int batchSize,
    int gradientAccumulation,
    int evaluations,
    double lambda,
    List<Integer> alignedLayers,
    LayerReduction reduction,
    int projectorSize,
    boolean trainProjector,
    LoraConfig lora,
    AdamW.Config optimizer,
    DType dtype,
    RunSettings run,
    long seed,
    Path output) {

  /**
   * What a run may go on with otherwise: how long it is, what is told of it, its course, and where
   * its base model lies.
   */
  private static final Set<String> FREE =
      Set.of(
          "modes",
          "steps",
          "evaluations",
          "base.weights",
          "data.threads",
          "optimizer.learningRate",
          "optimizer.maxGradNorm",
          "run.logInterval",
          "run.checkpointInterval",
          "run.keepCheckpoints");

  FinetuneSettings {
    modes = List.copyOf(modes);
    alignedLayers =
        alignedLayers.isEmpty()
            ? List.of(base.config().alignedLayer())
            : List.copyOf(alignedLayers);
    if (modes.isEmpty()) {
      throw new IllegalArgumentException("--modes must name at least one mode, found none");
    }
    if (modes.stream().distinct().count() != modes.size()) {
      throw new IllegalArgumentException("--modes must be distinct, found " + modes);
    }
    OptionChecks.layers(alignedLayers, base.config());
    if (alignedLayers.stream().distinct().count() != alignedLayers.size()) {
      throw new IllegalArgumentException("--layers must be distinct, found " + alignedLayers);
    }
    if (!(evalFraction > 0 && evalFraction < 1)) {
      throw new IllegalArgumentException(
          "--eval-fraction must be between 0 and 1, found " + evalFraction);
    }
    OptionChecks.exists("--teacher", teacher);
    if (teacherPreset != null && teacher == null) {
      throw new IllegalArgumentException(
          "--teacher-preset needs --teacher, the weights of %s".formatted(teacherPreset));
    }
    if (teacherPreset != null && !VisionTeacher.presets().contains(teacherPreset)) {
      throw new IllegalArgumentException(
          "--teacher-preset must be one of %s, found \"%s\""
              .formatted(VisionTeacher.presets(), teacherPreset));
    }
    OptionChecks.exists("--tokenizer", tokenizer);
    Checks.atLeast("--steps", steps, 1);
    Checks.atLeast("--batch-size", batchSize, 1);
    Checks.atLeast("--accumulate", gradientAccumulation, 1);
    Checks.atLeast("--evaluations", evaluations, 1);
    Checks.atLeast("--projector-size", projectorSize, 1);
    Checks.notNegative("--lambda", lambda);
    if (run.projectorDropout() > 0 && !trainProjector) {
      throw new IllegalArgumentException(
          "--projector-dropout must be 0 without --train-projector, found "
              + run.projectorDropout());
    }
  }

  /** All that makes two runs of a mode the same one. */
  RunIdentity identity(Mode mode, Map<String, String> contents) {
    Map<String, String> values = new TreeMap<>(contents);
    values.putAll(RunIdentity.of(this, FREE).values());
    values.put("mode", mode.name());
    return new RunIdentity(values);
  }

  /** Shape of the model. */
  OpenVlaConfig model() {
    return base.config();
  }

  /** Where a base model is kept that is drawn. */
  Path drawnBase() {
    return output.resolve(FinetuneJob.BASE);
  }

  /** What adapters name as their base. */
  String baseName() {
    return base.isRandom() ? drawnBase().toAbsolutePath().normalize().toString() : base.name();
  }

  /** Steps between evaluations, so that the last one falls on the last step. */
  int evaluationInterval() {
    return Math.max(1, (steps + evaluations - 1) / evaluations);
  }

  /** Where weights come from, for reports; null if nothing is random. */
  String randomness() {
    if (base.isRandom() && teacher == null) {
      return "Model and teacher weights are random (seed " + seed + "), not pretrained.";
    }
    if (base.isRandom()) {
      return "Model weights are random (seed " + seed + "), not pretrained.";
    }
    return teacher == null
        ? "Teacher weights are random (seed " + seed + "), not pretrained."
        : null;
  }
}
