package org.sightline.vla.finetune;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.sightline.formats.safetensors.TensorDigest;
import org.sightline.train.Teacher;
import org.sightline.vla.checkpoint.BaseModel;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.data.image.ImageTransform;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.data.loader.VlaData;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.text.HuggingFacePromptTokenizer;
import org.sightline.vla.model.LoraPlan;
import org.sightline.vla.model.OpenVla;
import org.sightline.vla.teacher.VisionTeacher;
import org.sightline.vla.teacher.cache.CachedTeacher;
import org.sightline.vla.teacher.cache.FeatureKind;
import org.sightline.vla.teacher.cache.FeatureStore;

/** What a job learns from and with: tokenizer, datasets, teacher, base model. */
final class JobInputs implements AutoCloseable {
  private final JobConfig config;
  private final HuggingFacePromptTokenizer tokenizer;
  private VlaData data; // null until it is rendered
  private Path teacherFile; // null until it is drawn
  private VisionTeacher vision; // of that file
  private Teacher<VlaBatch> teacher; // vision, or the cache before it, which then owns it
  private OpenVla unused; // the first mode's model, until that takes it

  private JobInputs(JobConfig config, HuggingFacePromptTokenizer tokenizer) {
    this.config = config;
    this.tokenizer = tokenizer;
  }

  /** Reads and checks what the configuration names; nothing is written to the output folder. */
  static JobInputs open(JobConfig config) throws IOException {
    var inputs = new JobInputs(config, config.base().tokenizer(config.tokenizer()));
    try {
      if (!config.data().data().isEmpty()) {
        inputs.data = inputs.data(config.data().data());
      }
      if (config.teacher() != null) {
        inputs.openTeacher(config.teacher());
      }
      if (!config.base().isRandom()) { // A random one is drawn into the output folder later.
        inputs.unused = inputs.loaded();
      }
      return inputs;
    } catch (IOException | RuntimeException | Error e) {
      inputs.close();
      throw e;
    }
  }

  /** Makes what the configuration does not name and an earlier run has not left. */
  void draw() throws IOException {
    if (config.base().isRandom()) {
      DrawnInputs.base(config, tokenizer);
    }
    if (teacher == null) {
      openTeacher(DrawnInputs.teacher(config));
    }
    if (data == null) {
      data = data(List.of(DataFolder.of(DrawnInputs.data(config))));
    }
  }

  VlaData data() {
    return data;
  }

  Teacher<VlaBatch> teacher() {
    return teacher;
  }

  /** What the teacher's weights are. */
  String teacherName() {
    return vision.config().weights();
  }

  /** Digests of all of it, by name. */
  Map<String, String> contents() throws IOException {
    Map<String, String> digests = new LinkedHashMap<>();
    try (HuggingFaceCheckpoint weights = weights()) {
      digests.put("weights", TensorDigest.of(weights.tensors().shards()));
    }
    digests.put("tokenizer", tokenizer.digest());
    digests.put("teacher", FeatureKind.identify(teacherFile, vision.config().toString()));
    for (VlaData.Part part : data.parts()) {
      digests.put("data " + part.dataset().name(), part.digest());
    }
    return digests;
  }

  /** A model for one mode. */
  OpenVla model() throws IOException {
    OpenVla first = unused;
    unused = null;
    return first == null ? loaded() : first;
  }

  /** Takes back a model that is as it was, for the next who asks for one. */
  void giveBack(OpenVla model) {
    unused = model;
  }

  private OpenVla loaded() throws IOException {
    try (HuggingFaceCheckpoint weights = weights()) {
      return OpenVla.of(
          config.model(),
          weights,
          config.device(),
          config.dtype(),
          LoraPlan.all(config.lora()),
          config.seed());
    }
  }

  private HuggingFaceCheckpoint weights() throws IOException {
    BaseModel base = config.base();
    return base.isRandom() ? HuggingFaceCheckpoint.open(config.drawnBase()) : base.open();
  }

  /** Opens the teacher, and before it the cache of its features if one is wanted. */
  private void openTeacher(Path file) throws IOException {
    int grid = config.model().dino().grid();
    teacherFile = file;
    vision =
        VisionTeacher.open(file, config.teacherPreset(), grid, config.device(), config.dtype());
    teacher = vision;
    Path cache = config.teacherCache();
    if (cache != null) {
      String identity =
          FeatureKind.identify(
              file,
              vision.config().toString(),
              "grid " + grid,
              config.dtype().name().toLowerCase(Locale.ROOT));
      ImageTransform images = config.data().images(config.model().dino().imageSize());
      FeatureKind kind =
          new FeatureKind(
              identity, images.describe(config.seed()), (long) grid * grid, vision.width());
      teacher = new CachedTeacher(vision, FeatureStore.open(cache, kind), config.dtype());
    }
  }

  private VlaData data(List<DataFolder> folders) throws IOException {
    DataConfig source = config.data();
    List<RldsDataset> datasets = new ArrayList<>();
    for (DataFolder folder : folders) {
      datasets.add(source.open(folder));
    }
    List<String> names = datasets.stream().map(RldsDataset::name).toList();
    if (names.stream().distinct().count() < names.size()) {
      throw new IllegalArgumentException(
          "data must tell datasets of one name apart, as other@DIR does, found the names " + names);
    }
    return VlaData.of(
        datasets,
        source.shares(),
        tokenizer,
        config.model().actions(),
        source.images(config.model().dino().imageSize()),
        source.evalFraction(),
        source.training(config.training().batchSize(), config.seed(), config.device()));
  }

  @Override
  public void close() {
    if (teacher != null) {
      teacher.close();
    }
    if (unused != null) {
      unused.close();
    }
    tokenizer.close();
  }
}
