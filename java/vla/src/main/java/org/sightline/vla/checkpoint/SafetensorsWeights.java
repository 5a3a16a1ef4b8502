package org.sightline.vla.checkpoint;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import org.bytedeco.pytorch.Tensor;
import org.sightline.formats.FormatException;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.formats.safetensors.ShardedSafetensors;
import org.sightline.formats.safetensors.TensorInfo;
import org.sightline.vla.model.ParameterSpec;
import org.sightline.vla.model.Weights;

/**
 * Weights from one or more safetensors files (the shards of a checkpoint). Nothing is read before a
 * model asks for it; then it goes straight into the memory that the model keeps.
 */
public final class SafetensorsWeights implements Weights, AutoCloseable {
  private final ShardedSafetensors files;

  SafetensorsWeights(ShardedSafetensors files) {
    this.files = files;
  }

  /**
   * Opens a file, the index of several, or a folder with either.
   *
   * @throws FormatException as {@link ShardedSafetensors#open(Path)}
   * @throws IOException if it cannot be read
   */
  public static SafetensorsWeights open(Path path) throws IOException {
    return new SafetensorsWeights(ShardedSafetensors.open(path));
  }

  /**
   * Opens files.
   *
   * @throws FormatException as {@link ShardedSafetensors#open(List)}
   * @throws IOException if one cannot be read
   */
  public static SafetensorsWeights open(List<Path> paths) throws IOException {
    return new SafetensorsWeights(ShardedSafetensors.open(paths));
  }

  /** Names of all tensors. */
  public Set<String> names() {
    return files.names();
  }

  /** The strings under {@code __metadata__} of all files; of equal keys the last file's. */
  public Map<String, String> metadata() {
    var metadata = new LinkedHashMap<String, String>();
    files.shards().forEach(file -> metadata.putAll(file.metadata()));
    return metadata;
  }

  /**
   * Type, shape and place of a tensor, without reading it.
   *
   * @throws IllegalArgumentException if there is no such tensor
   */
  public TensorInfo info(String name) {
    return files.info(name);
  }

  /**
   * Passes if there are tensors for this many blocks.
   *
   * @param field where the number stands, for the error
   * @throws FormatException if there are fewer
   */
  public void requireDepth(String field, int blocks) throws FormatException {
    TensorAccount.requireDepth(field, blocks, files);
  }

  /**
   * Passes if the files hold a model's tensors, each with its shape and a floating type, and no
   * other.
   *
   * @param model its name, for the error
   * @param layout whose names the tensors have, for the error
   * @param unused whether a tensor that is not the model's may be there
   * @throws FormatException naming every tensor that is missing, unexpected, of another shape or of
   *     another type
   */
  public void require(
      String model, String layout, List<ParameterSpec> tensors, Predicate<String> unused)
      throws FormatException {
    TensorAccount.require(model, layout, tensors, unused, files);
  }

  @Override
  public Tensor get(ParameterSpec parameter) {
    if (!files.names().contains(parameter.name())) {
      throw new IllegalArgumentException(
          "%s must hold \"%s\" with shape %s, found no such tensor among %d"
              .formatted(path(), parameter.name(), parameter.shape(), files.names().size()));
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
    return "%s: \"%s\"".formatted(path(), parameter.name());
  }

  @Override
  public boolean handsOver() {
    return true;
  }

  /** What was opened: a file, an index or a folder. */
  public Path path() {
    return files.path();
  }

  @Override
  public void close() throws IOException {
    files.close();
  }
}
