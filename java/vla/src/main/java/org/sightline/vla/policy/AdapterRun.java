package org.sightline.vla.policy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.sightline.DType;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.json.JsonFields;
import org.sightline.formats.peft.PeftAdapter;
import org.sightline.formats.safetensors.TensorDigest;
import org.sightline.train.Mode;
import org.sightline.vla.checkpoint.BaseModel;
import org.sightline.vla.checkpoint.HubCache;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.rlds.StatisticsJson;
import org.sightline.vla.finetune.DataConfig;
import org.sightline.vla.finetune.DataFolder;
import org.sightline.vla.finetune.FineTuneJob;
import org.sightline.vla.finetune.JobConfig;
import org.sightline.vla.finetune.RunFile;

/**
 * What the run that left an adapter says of its training: base model, seed, division of the
 * episodes. Without them the adapter's numbers mean nothing, so commands that load an adapter take
 * them from {@code run.json} above its folder, and options that state them differently are refused.
 *
 * <p>An adapter that lies elsewhere has no run; then options count, and defaults.
 */
public final class AdapterRun {
  private final Path adapter; // or null
  private final Path file; // null: no run
  private final JsonFields options; // of finetune; null: no run
  private final String weights; // digest of the base model; null: not known
  private final Path mode;

  private AdapterRun(Path adapter, Path file, JsonFields options, String weights, Path mode) {
    this.adapter = adapter;
    this.file = file;
    this.options = options;
    this.weights = weights;
    this.mode = mode;
  }

  /**
   * Finds the run of an adapter.
   *
   * @param adapter a mode's folder of a run or {@code best} in it, or any other; null: none
   * @throws FormatException if there is a {@code run.json} that cannot be read
   */
  public static AdapterRun of(Path adapter) throws IOException {
    if (adapter != null && Files.isDirectory(adapter)) {
      Path mode = adapter.toRealPath();
      mode = mode.endsWith(RunFile.BEST) ? mode.getParent() : mode;
      Path file = mode.resolveSibling(RunFile.NAME);
      if (InputFile.exists(file)) {
        JsonFields run = JsonFields.read(file);
        String digest =
            run.has(RunFile.CONTENTS) ? run.object(RunFile.CONTENTS).text("weights", null) : null;
        return new AdapterRun(adapter, file, run.object("options"), digest, mode);
      }
    }
    return new AdapterRun(adapter, null, null, null, null);
  }

  /** Users often name the folder of a run where that of a mode in it is meant. */
  static String hint(Path run) {
    for (Mode mode : Mode.values()) {
      Path folder = run.resolve(mode.name().toLowerCase(Locale.ROOT));
      if (InputFile.exists(folder.resolve("adapter_config.json"))) {
        return "; did you mean " + folder + "?";
      }
    }
    return "";
  }

  /** The base model: that of the option, else the run's, else the one the adapter names. */
  public BaseModel base(List<Path> given, String preset) throws IOException {
    List<Path> chosen = given;
    if (options == null) {
      return BaseModel.of("weights", chosen.isEmpty() ? List.of(named()) : chosen, preset);
    }
    List<Path> trained =
        options.has("weights")
            ? options.strings("weights").stream().map(Path::of).toList()
            : List.of(file.resolveSibling(FineTuneJob.BASE));
    if (!chosen.isEmpty() && !isSame(chosen, trained)) {
      throw contradiction("weights", text(trained), text(chosen));
    }
    String shape = fact("preset", preset, options.text("preset", null));
    BaseModel base =
        chosen.isEmpty()
            ? BaseModel.of("weights of " + file, trained, shape)
            : BaseModel.of("weights", chosen, shape);
    if (weights != null) {
      try (HuggingFaceCheckpoint checkpoint = base.open()) {
        String found = TensorDigest.of(checkpoint.tensors().shards());
        fact("the tensors of " + text(base.weights()), found, weights);
      }
    }
    return base;
  }

  /** The base model that the adapter's own configuration names. */
  private Path named() throws IOException {
    String name = null;
    if (adapter != null) {
      try (PeftAdapter read = PeftAdapter.read(adapter)) {
        name = read.config().baseModel();
      }
    }
    HubCache cache = HubCache.ofUser();
    Path path = name == null ? null : cache.find(name);
    if (path == null || !InputFile.exists(path)) {
      throw new IllegalArgumentException(
          "weights must name the base model"
              + (path == null
                  ? ""
                  : ": the adapter's, " + name + ", is not a folder here" + cache.hint(path)));
    }
    return path;
  }

  /** The tokenizer the run was given; null for the model's own, or the built-in one. */
  public Path tokenizer(Path given) throws IOException {
    String trained = options == null ? null : options.text("tokenizer", null);
    if (trained == null) {
      return given;
    }
    if (given != null && !isSame(List.of(given), List.of(Path.of(trained)))) {
      throw contradiction("tokenizer", trained, given);
    }
    return given == null ? Path.of(trained) : given;
  }

  /** The seed of the run, that is of the division into episodes. */
  public long seed(Long given) throws FormatException {
    boolean known = options != null && options.has("seed");
    Long seed = fact("splitSeed", given, known ? (Long) options.longInteger("seed") : null);
    return seed == null ? JobConfig.DEFAULT_SEED : seed;
  }

  /** Share of the episodes that the run held out. */
  public double evalFraction(Double given) throws FormatException {
    boolean known = options != null && options.has("eval-fraction");
    Double share =
        fact("evalFraction", given, known ? (Double) options.number("eval-fraction") : null);
    return share == null ? DataConfig.DEFAULTS.evalFraction() : share;
  }

  /** Whether the policy sees the centre of images: the run's choice unless another is made. */
  public boolean centerCrop(Boolean given) throws FormatException {
    return given != null ? given : options == null || options.bool("augment", true);
  }

  /** A switch of finetune's: as the run had it unless another choice is made. */
  public boolean flag(String name, Boolean given) throws FormatException {
    return given != null ? given : options != null && options.bool(name, false);
  }

  /** A folder of data under the name that the run gave it. */
  public DataFolder asTrained(DataFolder folder) throws IOException {
    if (folder.name() == null && options != null && options.has("data")) {
      for (DataFolder trained : DataFolder.list(options.strings("data"))) {
        if (InputFile.exists(trained.path()) && Files.isSameFile(trained.path(), folder.path())) {
          return trained;
        }
      }
    }
    return folder;
  }

  /** Statistics of the episodes that the run trained on; empty for data that it did not see. */
  public Optional<ActionStatistics> statistics(String dataset) throws IOException {
    Path statistics = mode == null ? null : mode.resolve("dataset_statistics.json");
    return statistics == null || !InputFile.exists(statistics)
        ? Optional.empty()
        : Optional.ofNullable(StatisticsJson.readAll(statistics).get(dataset));
  }

  /** The camera the policy sees: the run's unless another is chosen. */
  public String camera(String given) throws FormatException {
    return given != null
        ? given
        : options == null
            ? DataConfig.DEFAULTS.camera()
            : options.text("camera", DataConfig.DEFAULTS.camera());
  }

  /** The type to compute in: the run's unless another is chosen. */
  public DType dtype(DType given) throws FormatException {
    if (given != null || options == null || !options.has("dtype")) {
      return given == null ? DType.FLOAT32 : given;
    }
    String name = options.text("dtype").toUpperCase(Locale.ROOT);
    return Arrays.stream(DType.values())
        .filter(type -> type.name().equals(name))
        .findFirst()
        .orElseThrow(() -> options.wrong("dtype", "one of " + Arrays.toString(DType.values())));
  }

  /** What the run says; an option may repeat but not deny it. */
  private <T> T fact(String option, T given, T trained) {
    if (given != null && trained != null && !given.equals(trained)) {
      throw contradiction(option, trained, given);
    }
    return trained == null ? given : trained;
  }

  private IllegalArgumentException contradiction(String option, Object trained, Object given) {
    return new IllegalArgumentException(
        "%s must be %s as in the training of the adapter (%s), found %s"
            .formatted(option, trained, file, given));
  }

  /** A path that is not there any more may have been moved to the one given. */
  private static boolean isSame(List<Path> given, List<Path> trained) throws IOException {
    if (given.size() != trained.size()) {
      return false;
    }
    for (int i = 0; i < given.size(); i++) {
      Path path = given.get(i);
      Path before = trained.get(i);
      if (InputFile.exists(path) && InputFile.exists(before) && !Files.isSameFile(path, before)) {
        return false;
      }
    }
    return true;
  }

  private static String text(List<Path> paths) {
    return String.join(",", paths.stream().map(Path::toString).toList());
  }
}
