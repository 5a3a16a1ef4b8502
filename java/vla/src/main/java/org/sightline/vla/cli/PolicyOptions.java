package org.sightline.vla.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.sightline.DType;
import org.sightline.Sightline;
import org.sightline.formats.file.InputFile;
import picocli.CommandLine.Help;
import picocli.CommandLine.Option;

/** Options that name a policy to run: a base model, an adapter on it, and what belongs to them. */
final class PolicyOptions {
  @Option(
      names = "--adapter",
      converter = HubCache.Model.class,
      paramLabel = "DIR",
      description = {
        "PEFT adapter, with its dataset_statistics.json; without it the bare model.",
        "In the folder of its run, run.json says what it was trained on, and how."
      })
  private Path adapter;

  @Option(
      names = "--weights",
      converter = HubCache.Model.class,
      paramLabel = "PATH[,PATH]",
      showDefaultValue = Help.Visibility.NEVER,
      description =
          "Base model: its Hugging Face folder, or safetensors files; without it the run's, else the"
              + " one that the adapter names.")
  private List<Path> weights = List.of();

  @Option(
      names = "--preset",
      description = "Shape of weights that are files: nano or openvla-7b; without it the run's.")
  private String preset;

  @Option(
      names = "--tokenizer",
      paramLabel = "PATH",
      description =
          "tokenizer.json or its folder; without it the run's, the model's, or a small built-in one.")
  private Path tokenizer;

  @Option(
      names = "--statistics",
      paramLabel = "FILE",
      description = "dataset_statistics.json; without it the adapter's, or the model's norm_stats.")
  private Path statistics;

  @Option(
      names = "--unnorm-key",
      paramLabel = "NAME",
      description = "Dataset whose statistics scale the actions, where there are several.")
  private String unnormKey;

  @Option(
      names = "--center-crop",
      negatable = true,
      fallbackValue = "true",
      description =
          "Show the centre of the image, as after training with augmentation; without it as the"
              + " run did, else yes.")
  private Boolean centerCrop;

  @Option(
      names = "--dtype",
      converter = FamiliarNames.OfDType.class,
      description = "${COMPLETION-CANDIDATES}; without it the run's, else float32.")
  private DType dtype;

  /** Passes if what is named is there: before other things take time. */
  void requireThere() {
    OptionChecks.exists("--adapter", adapter);
    if (adapter != null && !InputFile.exists(adapter.resolve("adapter_config.json"))) {
      throw new IllegalArgumentException(
          "--adapter must be a PEFT folder, such as one mode's of finetune: found no"
              + " adapter_config.json in "
              + adapter
              + AdapterRun.hint(adapter));
    }
    OptionChecks.exists("--tokenizer", tokenizer);
    OptionChecks.exists("--statistics", statistics);
  }

  /** Opens everything named, and checks that it fits together. */
  LoadedPolicy open() throws IOException {
    requireThere();
    AdapterRun run = run();
    BaseModel base = run.base(weights, preset);
    Path tokens = run.tokenizer(tokenizer);
    boolean crop = run.centerCrop(centerCrop);
    DType type = run.dtype(dtype);
    Sightline.load();
    return LoadedPolicy.open(base, adapter, tokens, statistics, unnormKey, crop, type);
  }

  /** The run that the adapter comes from. */
  AdapterRun run() throws IOException {
    return AdapterRun.of(adapter);
  }
}
