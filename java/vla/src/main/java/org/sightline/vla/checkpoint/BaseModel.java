package org.sightline.vla.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.sightline.formats.file.InputFile;
import org.sightline.vla.data.text.HuggingFacePromptTokenizer;
import org.sightline.vla.model.OpenVlaConfig;

/**
 * The base model of a command: a Hugging Face folder, safetensors files of a preset's shape, or
 * none, which stands for random weights.
 *
 * @param config its shape
 * @param weights one folder, or files; empty: random
 */
public record BaseModel(OpenVlaConfig config, List<Path> weights) {
  /** Random weights of the shape nano. */
  public static final BaseModel RANDOM = new BaseModel(OpenVlaConfig.ofPreset("nano"), List.of());

  public BaseModel {
    weights = List.copyOf(weights);
  }

  /**
   * Looks at what was named, and accounts for every tensor before minutes are spent on other
   * things.
   *
   * @param argument what named it, for errors
   * @param preset name of a shape, or null for the folder's own or nano
   */
  public static BaseModel of(String argument, List<Path> weights, String preset)
      throws IOException {
    weights.forEach(path -> PathChecks.exists(argument, path));
    if (!isFolder(weights)) {
      OpenVlaConfig config = OpenVlaConfig.ofPreset(preset == null ? "nano" : preset);
      BaseModel base = new BaseModel(config, weights);
      if (!weights.isEmpty()) {
        base.open().close();
      }
      return base;
    }
    try (HuggingFaceCheckpoint checkpoint = HuggingFaceCheckpoint.open(weights.get(0))) {
      OpenVlaConfig config = checkpoint.config();
      if (preset != null && !OpenVlaConfig.ofPreset(preset).equals(config)) {
        throw new IllegalArgumentException(
            "preset must be left out or of the shape that %s states, found %s"
                .formatted(weights.get(0).resolve("config.json"), preset));
      }
      return new BaseModel(config, weights);
    }
  }

  private static boolean isFolder(List<Path> weights) {
    return weights.size() == 1 && InputFile.exists(weights.get(0).resolve("config.json"));
  }

  /** The name of its shape, where no folder states that; else null. */
  public String preset() {
    return isFolder(weights) ? null : config.preset();
  }

  public boolean isRandom() {
    return weights.isEmpty();
  }

  /** The tensors; not for a random model. */
  public HuggingFaceCheckpoint open() throws IOException {
    return isFolder(weights)
        ? HuggingFaceCheckpoint.open(weights.get(0))
        : HuggingFaceCheckpoint.open(weights, config);
  }

  /** What an adapter's configuration names as its base. */
  public String name() {
    return HubCache.name(weights.get(0));
  }

  /**
   * A tokenizer whose ids are the model's.
   *
   * @param given file or folder, or null for the model's own or the built-in one
   */
  public HuggingFacePromptTokenizer tokenizer(Path given) throws IOException {
    if (isRandom()) {
      return given == null
          ? HuggingFacePromptTokenizer.embedded()
          : HuggingFacePromptTokenizer.open(given);
    }
    try (HuggingFaceCheckpoint checkpoint = open()) {
      Path source = given == null ? checkpoint.tokenizer().orElse(null) : given;
      HuggingFacePromptTokenizer tokenizer =
          source == null
              ? HuggingFacePromptTokenizer.embedded()
              : HuggingFacePromptTokenizer.open(source);
      try {
        checkpoint.requireTokenizer(
            tokenizer, source == null ? Path.of("built-in tokenizer") : source);
        return tokenizer;
      } catch (IOException | RuntimeException e) {
        tokenizer.close();
        throw e;
      }
    }
  }
}
