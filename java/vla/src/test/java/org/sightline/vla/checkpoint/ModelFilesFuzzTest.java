package org.sightline.vla.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.sightline.DType;
import org.sightline.Fuzz;
import org.sightline.FuzzTargets;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.TinyModels;

/** Spoiled files of a model's folder. */
class ModelFilesFuzzTest implements FuzzTargets {
  @Override
  public Stream<Fuzz> targets(Path parent) throws IOException {
    OpenVlaConfig config = TinyModels.config();
    Path folder = parent.resolve("model");
    HuggingFaceCheckpoint.write(
        folder, config, spec -> TinyModels.weight(spec, 1), DType.FLOAT32, Long.MAX_VALUE);
    Path weights = folder.resolve("model.safetensors");
    Path preprocessor = folder.resolve(PreprocessorJson.NAME);
    return Stream.of(
        Fuzz.of("config", folder.resolve("config.json"), f -> open(folder)),
        Fuzz.of(
            "preprocessor",
            preprocessor,
            f -> PreprocessorJson.require(f, config.dino().imageSize())),
        Fuzz.ofHeader("weights", weights, f -> open(folder)));
  }

  private static void open(Path folder) throws IOException {
    try (HuggingFaceCheckpoint checkpoint = HuggingFaceCheckpoint.open(folder)) {
      checkpoint.statistics();
    }
  }
}
