package org.sightline.vla.finetune;

import io.soabase.recordbuilder.core.RecordBuilder;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.LoraConfig;
import org.sightline.LoraInit;
import org.sightline.train.Mode;
import org.sightline.train.checkpoint.RunIdentity;
import org.sightline.vla.checkpoint.BaseModel;
import org.sightline.vla.checkpoint.PathChecks;
import org.sightline.vla.memory.StepConfig;
import org.sightline.vla.memory.StepConfigBuilder;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.teacher.TeacherConfig;
import org.sightline.vla.teacher.VisionTeacher;

/**
 * A fine-tuning job: one or more modes from the same start, on the same batches.
 *
 * @param output folder for adapters, logs and report, a subfolder for each mode
 * @param modes run one after another
 * @param base the model that is fine-tuned
 * @param tokenizer {@code tokenizer.json} or its folder; null: the base model's, or the built-in
 *     one
 * @param teacher Hugging Face folder or safetensors file of the teacher; null: random, seeded
 * @param teacherPreset which published teacher that is; null: it says so itself
 * @param teacherCache folder of cached teacher features; null: none
 * @param device where model and teacher are, and compute
 * @param dtype of model and adapters
 * @param seed of everything that is drawn
 * @param data what it learns from
 * @param alignment what is aligned, its layers named
 * @param lora the adapters
 * @param training a mode's course
 */
@RecordBuilder
public record JobConfig(
    Path output,
    List<Mode> modes,
    BaseModel base,
    Path tokenizer,
    Path teacher,
    String teacherPreset,
    Path teacherCache,
    Device device,
    DType dtype,
    long seed,
    DataConfig data,
    AlignmentConfig alignment,
    LoraConfig lora,
    TrainingConfig training) {
  /** The paper's rank and alpha. */
  public static final LoraConfig DEFAULT_LORA = new LoraConfig(32, 16, 0, false, LoraInit.GAUSSIAN);

  public static final long DEFAULT_SEED = 7;

  /**
   * What a run may go on with otherwise: how long it is, what is told of it, its course, and where
   * its base model lies.
   */
  private static final Set<String> FREE =
      Set.of(
          "modes",
          "base.weights",
          "data.dataThreads",
          "training.steps",
          "training.evaluations",
          "training.optimizer.learningRate",
          "training.optimizer.maxGradNorm",
          "training.logInterval",
          "training.checkpointInterval",
          "training.keepCheckpoints",
          "training.oom");

  /**
   * Checks every value, and that they go together.
   *
   * @throws IllegalArgumentException naming the argument, the value found and the value expected
   */
  public JobConfig {
    Objects.requireNonNull(output, "output");
    Objects.requireNonNull(device, "device");
    Objects.requireNonNull(dtype, "dtype");
    Objects.requireNonNull(lora, "lora");
    modes = List.copyOf(modes);
    alignment = alignment.of(base.config());
    if (modes.isEmpty()) {
      throw new IllegalArgumentException("modes must name at least one mode, found none");
    }
    if (modes.stream().distinct().count() != modes.size()) {
      throw new IllegalArgumentException("modes must be distinct, found " + modes);
    }
    PathChecks.exists("tokenizer", tokenizer);
    PathChecks.exists("teacher", teacher);
    if (teacherPreset != null && !VisionTeacher.presets().contains(teacherPreset)) {
      throw new IllegalArgumentException(
          "teacherPreset must be one of %s, found \"%s\""
              .formatted(VisionTeacher.presets(), teacherPreset));
    }
    PathChecks.canBeFolder("teacherCache", teacherCache);
    if (teacherCache != null && data.augment() && data.augmentationsPerImage() == 0) {
      throw new IllegalArgumentException(
          "teacherCache needs augmentationsPerImage of 1 or more, or augment off, found 0: each epoch"
              + " would show new pictures");
    }
  }

  /** A builder of a job that writes to {@code output}; what is not set is small, and drawn. */
  public static JobConfigBuilder builder(Path output) {
    return JobConfigBuilder.builder()
        .output(output)
        .modes(List.of(Mode.DEFAULT, Mode.ALIGN))
        .base(BaseModel.RANDOM)
        .device(Device.CPU)
        .dtype(DType.FLOAT32)
        .seed(DEFAULT_SEED)
        .data(DataConfig.DEFAULTS)
        .alignment(AlignmentConfig.DEFAULTS)
        .lora(DEFAULT_LORA)
        .training(TrainingConfig.DEFAULTS);
  }

  /** All that makes two runs of a mode the same one. */
  RunIdentity identity(Mode mode, Map<String, String> contents) {
    Map<String, String> values = new TreeMap<>(contents);
    values.putAll(RunIdentity.of(this, FREE).values());
    values.put("mode", mode.name());
    return new RunIdentity(values);
  }

  /** Shape of the model. */
  public OpenVlaConfig model() {
    return base.config();
  }

  /**
   * What the memory of a step depends on.
   *
   * @param textTokens of the longest row
   * @param teacher at the size it is used; null: nothing is aligned
   * @param teacherCached whether all its features come from the cache
   */
  public StepConfig step(int textTokens, TeacherConfig teacher, boolean teacherCached) {
    boolean aligned = teacher != null && modes.contains(Mode.ALIGN);
    return StepConfigBuilder.builder()
        .model(model())
        .batchSize(training.batchSize())
        .textTokens(textTokens)
        .labelledTokens(StepConfig.LABELLED_TOKENS)
        .rank(lora.rank())
        .dtype(dtype)
        .precision(training.optimizer().precision())
        .alignedLayers(aligned ? alignment.layers() : List.of())
        .projectorSize(alignment.projectorSize())
        .teacher(aligned ? teacher : null)
        .teacherCached(teacherCached)
        .gradientCheckpointing(training.gradientCheckpointing())
        .build();
  }

  /** Where a base model is kept that is drawn. */
  Path drawnBase() {
    return output.resolve(FineTuneJob.BASE);
  }

  /** What adapters name as their base. */
  String baseName() {
    return base.isRandom() ? drawnBase().toAbsolutePath().normalize().toString() : base.name();
  }

  /** Where weights come from, for reports; null if nothing is random. */
  String randomness() {
    if (!base.isRandom() && teacher != null) {
      return null;
    }
    String what = !base.isRandom() ? "Teacher" : teacher != null ? "Model" : "Model and teacher";
    return what + " weights are random (seed " + seed + "), not pretrained.";
  }
}
