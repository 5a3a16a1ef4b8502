package org.sightline.vla.cli;

import java.io.IOException;
import java.nio.file.Path;
import org.sightline.DType;
import org.sightline.vla.policy.AdapterRun;
import org.sightline.vla.policy.Policy;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Options that name a policy to run: a base model, an adapter on it, and what belongs to them. */
final class PolicyOptions {
  @Option(
      names = "--adapter",
      converter = Converters.Model.class,
      paramLabel = "DIR",
      description = {
        "PEFT adapter, with its dataset_statistics.json; without it the bare model.",
        "In the folder of its run, run.json says what it was trained on, and how."
      })
  private Path adapter;

  @Mixin private ModelOptions model;

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
      converter = Converters.OfDType.class,
      description = "${COMPLETION-CANDIDATES}; without it the run's, else float32.")
  private DType dtype;

  @Mixin private DeviceOption device;

  /** What to load. */
  Policy.Builder builder() {
    return Policy.builder()
        .adapter(adapter)
        .weights(model.weights())
        .preset(model.preset())
        .tokenizer(tokenizer)
        .statistics(statistics)
        .unnormKey(unnormKey)
        .centerCrop(centerCrop)
        .device(device.device())
        .dtype(dtype);
  }

  /** Which policy it is, for reports. */
  String describe() {
    return adapter != null ? adapter.toString() : String.valueOf(model.weights());
  }

  String unnormKey() {
    return unnormKey;
  }

  /** The run that the adapter comes from. */
  AdapterRun run() throws IOException {
    return AdapterRun.of(adapter);
  }
}
