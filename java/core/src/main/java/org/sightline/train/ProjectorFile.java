package org.sightline.train;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.sightline.AlignmentProjector;
import org.sightline.DType;
import org.sightline.ProjectorConfig;
import org.sightline.formats.FormatException;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.train.checkpoint.Checkpointable;
import org.sightline.train.checkpoint.TensorsPart;

/**
 * The alignment projectors of a run in one safetensors file: {@code layer_<layer>.net.0.weight} and
 * so on for every aligned layer, with the names of {@link AlignmentProjector} after the dot.
 */
public final class ProjectorFile {
  /** The file's name beside an adapter. */
  public static final String NAME = "alignment_projector.safetensors";

  private static final Pattern KEY = Pattern.compile("layer_(\\d{1,9})\\.(.+)");
  private static final String FIRST = "net.1.weight"; // [P,D]
  private static final String LAST = "net.7.weight"; // [Z,P]

  private ProjectorFile() {}

  /** Writes all projectors, atomically. */
  public static void write(Path file, Map<Integer, AlignmentProjector> projectors)
      throws IOException {
    write(file, projectors, Map.of());
  }

  /**
   * The same with strings for the file's metadata.
   *
   * @param metadata free, but for {@code format}
   */
  public static void write(
      Path file, Map<Integer, AlignmentProjector> projectors, Map<String, String> metadata)
      throws IOException {
    Map<String, String> all = new LinkedHashMap<>(metadata);
    all.put("format", "pt");
    Safetensors.write(file, tensors(projectors), all);
  }

  /** All projectors' weights by their names in the file. */
  static Map<String, Tensor> tensors(Map<Integer, AlignmentProjector> projectors) {
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    projectors.forEach(
        (layer, projector) ->
            projector
                .parameters()
                .forEach((name, tensor) -> tensors.put("layer_" + layer + "." + name, tensor)));
    return tensors;
  }

  /**
   * Reads all projectors, frozen.
   *
   * @param compute operand type of their matrix products
   * @return by layer, ascending; the caller closes them
   * @throws FormatException if a tensor is missing, unknown or does not fit the others
   */
  public static Map<Integer, AlignmentProjector> read(Path file, DType compute) throws IOException {
    Map<Integer, Map<String, Tensor>> layers = new TreeMap<>();
    Map<Integer, AlignmentProjector> projectors = new TreeMap<>();
    try (Safetensors tensors = Safetensors.open(file)) {
      tensors.requireMemory();
      for (String name : tensors.names()) {
        Matcher key = KEY.matcher(name);
        if (!key.matches()) {
          throw new FormatException(
              file, name, "a tensor of that name", "layer_<layer>.net.<index>.weight or .bias");
        }
        layers
            .computeIfAbsent(Integer.valueOf(key.group(1)), layer -> new LinkedHashMap<>())
            .put(key.group(2), tensors.tensor(name));
      }
      for (Map.Entry<Integer, Map<String, Tensor>> layer : layers.entrySet()) {
        projectors.put(layer.getKey(), projector(file, layer.getKey(), layer.getValue(), compute));
      }
      return projectors;
    } catch (IOException | RuntimeException e) {
      projectors.values().forEach(AlignmentProjector::close);
      throw e;
    } finally {
      layers.values().forEach(tensors -> tensors.values().forEach(Tensor::close));
    }
  }

  /**
   * Gives frozen projectors of a run the weights of a file.
   *
   * @throws FormatException if the file has not the tensors of these projectors, or some are not
   *     finite
   */
  public static void load(Path file, Map<Integer, AlignmentProjector> projectors)
      throws IOException {
    try (Safetensors saved = Safetensors.open(file);
        PointerScope scope = new PointerScope()) {
      Map<String, Tensor> given = new LinkedHashMap<>();
      for (String name : saved.names()) {
        given.put(name, saved.tensor(name));
      }
      try {
        new TensorsPart("projectors", () -> tensors(projectors))
            .restore(new Checkpointable.State(given, "{}"));
      } catch (IllegalArgumentException e) {
        throw new FormatException(
            file, "tensors", e.getMessage(), "those of this run's projectors");
      }
    }
  }

  private static AlignmentProjector projector(
      Path file, int layer, Map<String, Tensor> tensors, DType compute) throws FormatException {
    String where = "layer_" + layer;
    for (String name : new String[] {FIRST, LAST}) {
      if (!tensors.containsKey(name) || tensors.get(name).dim() != 2) {
        throw new FormatException(file, where, tensors.keySet().toString(), "a matrix " + name);
      }
    }
    Tensor first = tensors.get(FIRST);
    try {
      return AlignmentProjector.of(
          new ProjectorConfig(
              first.size(1), first.size(0), tensors.get(LAST).size(0), false, 0, compute, 0),
          tensors);
    } catch (IllegalArgumentException e) {
      throw new FormatException(file, where, e.getMessage());
    }
  }
}
