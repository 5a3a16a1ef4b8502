package org.sightline.vla.finetune;

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
          "training.keepCheckpoints");

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
  public static Builder builder(Path output) {
    return new Builder(output);
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
    return new StepConfig(
        model(),
        training.batchSize(),
        textTokens,
        StepConfig.LABELLED_TOKENS,
        lora.rank(),
        dtype,
        training.optimizer().precision(),
        aligned ? alignment.layers() : List.of(),
        alignment.projectorSize(),
        aligned ? teacher : null,
        teacherCached,
        training.gradientCheckpointing());
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

  /** Collects the values of a {@link JobConfig}. */
  public static final class Builder {
    private final Path output;
    private List<Mode> modes = List.of(Mode.DEFAULT, Mode.ALIGN);
    private BaseModel base = BaseModel.RANDOM;
    private Path tokenizer;
    private Path teacher;
    private String teacherPreset;
    private Path teacherCache;
    private Device device = Device.CPU;
    private DType dtype = DType.FLOAT32;
    private long seed = DEFAULT_SEED;
    private DataConfig data = DataConfig.DEFAULTS;
    private AlignmentConfig alignment = AlignmentConfig.DEFAULTS;
    private LoraConfig lora = DEFAULT_LORA;
    private TrainingConfig training = TrainingConfig.DEFAULTS;

    private Builder(Path output) {
      this.output = output;
    }

    public Builder modes(Mode... each) {
      this.modes = List.of(each);
      return this;
    }

    public Builder base(BaseModel model) {
      this.base = model;
      return this;
    }

    public Builder tokenizer(Path path) {
      this.tokenizer = path;
      return this;
    }

    public Builder teacher(Path path) {
      this.teacher = path;
      return this;
    }

    public Builder teacherPreset(String name) {
      this.teacherPreset = name;
      return this;
    }

    public Builder teacherCache(Path folder) {
      this.teacherCache = folder;
      return this;
    }

    public Builder device(Device place) {
      this.device = place;
      return this;
    }

    public Builder dtype(DType type) {
      this.dtype = type;
      return this;
    }

    public Builder seed(long number) {
      this.seed = number;
      return this;
    }

    public Builder data(DataConfig config) {
      this.data = config;
      return this;
    }

    public Builder alignment(AlignmentConfig config) {
      this.alignment = config;
      return this;
    }

    public Builder lora(LoraConfig config) {
      this.lora = config;
      return this;
    }

    public Builder training(TrainingConfig config) {
      this.training = config;
      return this;
    }

    public JobConfig build() {
      return new JobConfig(
          output,
          modes,
          base,
          tokenizer,
          teacher,
          teacherPreset,
          teacherCache,
          device,
          dtype,
          seed,
          data,
          alignment,
          lora,
          training);
    }
  }
}
