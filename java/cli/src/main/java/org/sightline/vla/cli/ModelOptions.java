package org.sightline.vla.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.sightline.vla.checkpoint.BaseModel;
import org.sightline.vla.finetune.PathList;
import picocli.CommandLine.Help;
import picocli.CommandLine.Option;

/** The base model, of every command that has one. */
final class ModelOptions {
  @Option(
      names = "--weights",
      converter = Converters.Model.class,
      paramLabel = "PATH[,PATH]",
      showDefaultValue = Help.Visibility.NEVER,
      description = {
        "Base model: a Hugging Face folder (config.json, safetensors, tokenizer.json), the id of a"
            + " downloaded one (openvla/openvla-7b), or safetensors files.",
        "Without it that of the adapter's run, or the one the adapter names; to train, a random one."
      })
  private List<Path> weights = List.of();

  @Option(
      names = "--preset",
      description =
          "Shape of weights that are files, or random: nano, mid or openvla-7b; without it that of"
              + " the adapter's run, else nano.")
  private String preset;

  /** What was named, as it was named. */
  List<Path> weights() {
    return PathList.of(weights);
  }

  String preset() {
    return preset;
  }

  /** For commands without an adapter. */
  BaseModel base() throws IOException {
    return BaseModel.of("weights", weights(), preset);
  }
}
