package org.sightline.vla.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.sightline.formats.file.FolderLock;
import org.sightline.formats.file.Printable;
import org.sightline.formats.safetensors.TensorDigest;
import org.sightline.train.Mode;
import org.sightline.train.Teacher;
import org.sightline.train.TrainingDivergedException;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.data.image.ImageTransform;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.data.loader.VlaData;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.text.ActionTokenizer;
import org.sightline.vla.data.text.HuggingFacePromptTokenizer;
import org.sightline.vla.model.OpenVla;
import org.sightline.vla.teacher.VisionTeacher;
import org.sightline.vla.teacher.cache.CachedTeacher;
import org.sightline.vla.teacher.cache.FeatureKind;
import org.sightline.vla.teacher.cache.FeatureStore;

/**
 * Fine-tunes in each mode from the same start, on the same batches, and compares.
 *
 * <p>Writes to {@code output}: {@code <mode>/} as {@link ModeRun} says; {@code run.json}; {@code
 * plot.png} and {@code report.html}; and what had to be made: {@code base/}, {@code data/}, {@code
 * teacher.safetensors}. Called again on the same folder, it goes on where it was broken off.
 */
final class FinetuneJob implements AutoCloseable {
  /** The random base model of a job that was given none. */
  static final String BASE = "base";

  /** The random teacher of a job that was given none. */
  static final String TEACHER = "teacher.safetensors";

  private final FinetuneSettings settings;
  private final PrintWriter out;
  private final HuggingFacePromptTokenizer tokenizer;
  private VlaData data; // null until it is rendered
  private Path teacherFile; // null until it is drawn
  private VisionTeacher vision; // of that file
  private Teacher<VlaBatch> teacher; // vision, or the cache before it, which then owns it
  private OpenVla unused; // the first mode's model, until that takes it
  private FolderLock lock; // null until it is prepared
  private Map<String, String> contents; // null until it is prepared
  private boolean changesAccepted;

  private FinetuneJob(
      FinetuneSettings settings, PrintWriter out, HuggingFacePromptTokenizer tokenizer) {
    this.settings = settings;
    this.out = out;
    this.tokenizer = tokenizer;
  }

  /**
   * Reads and checks what the settings name: tokenizer, datasets, teacher, base model. Nothing is
   * written to the output folder, so that bad input leaves nothing there.
   */
  static FinetuneJob open(FinetuneSettings settings, PrintWriter out) throws IOException {
    var job = new FinetuneJob(settings, out, settings.base().tokenizer(settings.tokenizer()));
    try {
      if (!settings.data().folders().isEmpty()) {
        job.data = job.data(settings.data().folders());
      }
      if (settings.teacher() != null) {
        job.openTeacher(settings.teacher());
      }
      if (!settings.base().isRandom()) { // A random one is drawn into the output folder later.
        job.unused = job.loaded();
      }
      return job;
    } catch (IOException | RuntimeException | Error e) {
      job.close();
      throw e;
    }
  }

  /**
   * Passes unless a mode cannot go on as asked, before anything is written.
   *
   * @param changesAccepted whether checkpoints may be of other settings and contents
   * @throws IllegalArgumentException naming what is in the way
   */
  void requireCanGoOn(boolean changesAccepted) throws IOException {
    this.changesAccepted = changesAccepted;
    for (Mode mode : settings.modes()) {
      run(mode).requireCanGoOn();
    }
  }

  private ModeRun run(Mode mode) {
    return new ModeRun(settings, mode, out, lock, contents, changesAccepted);
  }

  /**
   * Makes what the settings do not name and an earlier run has not left.
   *
   * @param held of the output folder: without it nothing is written there, from now on
   * @return digests of what the run learns from, by name
   */
  Map<String, String> prepare(FolderLock held) throws IOException {
    lock = held;
    if (settings.base().isRandom()) {
      DrawnInputs.base(settings, tokenizer);
    }
    if (teacher == null) {
      openTeacher(DrawnInputs.teacher(settings));
    }
    if (data == null) {
      data = data(List.of(new DataFolder(null, DrawnInputs.data(settings), null)));
    }
    contents = contents();
    return contents;
  }

  private Map<String, String> contents() throws IOException {
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

  /** Runs what is not done yet; false if it was interrupted. */
  boolean run() throws IOException, TrainingDivergedException {
    describe(data, vision);
    List<ModeResult> results = new ArrayList<>();
    for (Mode mode : settings.modes()) {
      ModeRun run = run(mode);
      Optional<ModeResult> result = run.done();
      if (result.isEmpty()) {
        try (OpenVla model = model()) {
          result = run.run(model, teacher, data);
        } catch (TrainingDivergedException e) {
          out.printf(
              Locale.ROOT,
              "Mode %s has no result. With a lower rate it goes on from step %d: %s --lr RATE%n",
              lowerCase(mode),
              run.stepsDone(),
              resumption());
          out.flush();
          throw e;
        }
      }
      if (result.isEmpty()) {
        out.println("Interrupted; to go on: " + resumption());
        out.flush();
        return false;
      }
      results.add(result.get());
    }
    report(results);
    DataReport.leftOut(out, data);
    if (teacher instanceof CachedTeacher cache) {
      DataReport.cache(out, cache);
    }
    out.flush();
    return true;
  }

  /** What to type to go on. */
  private String resumption() {
    String output = Launcher.quoted(settings.output().toString());
    return Launcher.command() + " finetune --resume " + output;
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

  /** The table first: it needs nothing that could be missing. */
  private void report(List<ModeResult> results) throws IOException {
    out.printf(Locale.ROOT, "%nHeld-out episodes, before -> after:%n%s", ResultTable.of(results));
    if (settings.randomness() != null) {
      out.println(settings.randomness());
    }
    out.flush();
    Path folder = settings.output();
    lock.requireHeld();
    RunReport.write(
        folder.resolve("report.html"), RunFile.read(folder), results, settings.randomness());
    lock.requireHeld();
    Optional<String> undrawn = RunPlot.write(folder.resolve("plot.png"), results);
    undrawn.ifPresent(
        why ->
            out.println("No plot.png: pictures cannot be drawn here (" + Printable.of(why) + ")"));
    out.println(
        "Adapters, logs%s and report: ".formatted(undrawn.isPresent() ? "" : ", plot")
            + Printable.of(folder));
    out.flush();
  }

  /** A model for one mode. */
  private OpenVla model() throws IOException {
    OpenVla first = unused;
    unused = null;
    return first == null ? loaded() : first;
  }

  private OpenVla loaded() throws IOException {
    try (HuggingFaceCheckpoint weights = weights()) {
      return new OpenVla(
          settings.model(), weights, settings.dtype(), settings.lora(), settings.seed());
    }
  }

  private HuggingFaceCheckpoint weights() throws IOException {
    BaseModel base = settings.base();
    return base.isRandom() ? HuggingFaceCheckpoint.open(settings.drawnBase()) : base.open();
  }

  /** Opens the teacher, and before it the cache of its features if one is wanted. */
  private void openTeacher(Path file) throws IOException {
    int grid = settings.model().dino().grid();
    teacherFile = file;
    vision = VisionTeacher.open(file, settings.teacherPreset(), grid, settings.dtype());
    teacher = vision;
    Path cache = settings.data().teacherCache();
    if (cache != null) {
      String identity =
          FeatureKind.identify(
              file, vision.config().toString(), "grid " + grid, lowerCase(settings.dtype()));
      ImageTransform images = settings.data().images(settings.model().dino().imageSize());
      FeatureKind kind =
          new FeatureKind(
              identity, images.describe(settings.seed()), (long) grid * grid, vision.width());
      teacher = new CachedTeacher(vision, FeatureStore.open(cache, kind), settings.dtype());
    }
  }

  private VlaData data(List<DataFolder> folders) throws IOException {
    DataSettings source = settings.data();
    List<RldsDataset> datasets = new ArrayList<>();
    for (DataFolder folder : folders) {
      datasets.add(source.open(folder));
    }
    List<String> names = datasets.stream().map(RldsDataset::name).toList();
    if (names.stream().distinct().count() < names.size()) {
      throw new IllegalArgumentException(
          "--data must tell datasets of one name apart, as other@DIR does, found the names "
              + names);
    }
    return VlaData.of(
        datasets,
        source.shares(),
        tokenizer,
        new ActionTokenizer(settings.model().actionTokenEnd()),
        source.images(settings.model().dino().imageSize()),
        settings.evalFraction(),
        source.training(settings.batchSize(), settings.seed()));
  }

  private void describe(VlaData data, VisionTeacher teacher) {
    out.printf(
        Locale.ROOT,
        "model    %s, %s, LoRA rank %d%n",
        Printable.of(settings.model().preset()),
        lowerCase(settings.dtype()),
        settings.lora().rank());
    DataReport.describe(out, data);
    out.printf(
        Locale.ROOT,
        "teacher  %s; aligned layers %s, lambda %s%n",
        Printable.of(teacher.config().weights()),
        settings.alignedLayers(),
        settings.lambda());
    out.flush();
  }

  private static String lowerCase(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT);
  }
}
