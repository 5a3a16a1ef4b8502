package org.sightline.vla.checkpoint;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.sightline.formats.FormatException;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.formats.safetensors.ShardedSafetensors;
import org.sightline.vla.model.ParameterSpec;
import org.sightline.vla.model.Weights;

/**
 * Weights from one or more safetensors files (the shards of a checkpoint). Nothing is read before a
 * model asks for it; then it goes straight into the memory that the model keeps.
 */
public record SafetensorsWeights(ShardedSafetensors files) implements Weights, AutoCloseable {
  /**
   * Opens a file, the index of several, or a folder with either.
   *
   * @throws FormatException as {@link ShardedSafetensors#open(Path)}
   * @throws IOException if it cannot be read
   */
  public static SafetensorsWeights open(Path path) throws IOException {
    return new SafetensorsWeights(ShardedSafetensors.open(path));
  }

  @Override
  public Tensor get(ParameterSpec parameter) {
    if (!files.names().contains(parameter.name())) {
      throw new IllegalArgumentException(
          "%s must hold \"%s\" with shape %s, found no such tensor among %d"
              .formatted(files.path(), parameter.name(), parameter.shape(), files.names().size()));
    }
    Safetensors file = files.shard(parameter.name());
    List<Long> found = file.info(parameter.name()).shape();
    if (!found.equals(parameter.shape())) {
      throw new IllegalArgumentException(
          "%s: \"%s\" must have shape %s, found %s"
              .formatted(file.file(), parameter.name(), parameter.shape(), found));
    }
    try {
      return file.tensor(parameter.name());
    } catch (IOException e) {
      throw new UncheckedIOException(file.file() + ": " + parameter.name(), e);
    }
  }

  @Override
  public String describe(ParameterSpec parameter) {
    return "%s: \"%s\"".formatted(files.path(), parameter.name());
  }

  @Override
  public boolean handsOver() {
    return true;
  }

  @Override
  public void close() throws IOException {
    files.close();
  }
}
