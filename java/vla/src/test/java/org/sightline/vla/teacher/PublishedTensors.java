package org.sightline.vla.teacher;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.Seeds;
import org.sightline.formats.safetensors.Safetensors;

/**
 * A checkpoint with random values, put down tensor by tensor under the names and shapes of the
 * published files. No term of the formulas is left at 0 or 1.
 */
final class PublishedTensors {
  private final Map<String, long[]> shapes = new LinkedHashMap<>();
  private final Map<String, float[]> values = new LinkedHashMap<>();
  private final long seed;

  PublishedTensors(long seed) {
    this.seed = seed;
  }

  /** Values N(centre, deviation²). */
  PublishedTensors put(String name, double centre, double deviation, long... shape) {
    var random = new Random(Seeds.of(seed, name));
    var numbers = new float[(int) Arrays.stream(shape).reduce(1, (a, b) -> a * b)];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] = (float) (centre + deviation * random.nextGaussian());
    }
    shapes.put(name, shape);
    values.put(name, numbers);
    return this;
  }

  PublishedTensors token(String name, long... shape) {
    return put(name, 0, 0.7, shape);
  }

  PublishedTensors norm(String module, int width) {
    return put(module + ".weight", 1, 0.25, width).put(module + ".bias", 0, 0.25, width);
  }

  PublishedTensors scale(String name, int width) {
    return put(name, 1, 0.25, width);
  }

  /** A weight [out, in…] that keeps activations of order one, without a bias. */
  PublishedTensors matrix(String name, long... shape) {
    long in = Arrays.stream(shape).skip(1).reduce(1, (a, b) -> a * b);
    return put(name, 0, 1 / Math.sqrt(in), shape);
  }

  PublishedTensors linear(String module, long... shape) {
    return matrix(module + ".weight", shape).put(module + ".bias", 0, 0.25, shape[0]);
  }

  PublishedTensors remove(String name) {
    if (shapes.remove(name) == null) {
      throw new AssertionError(name);
    }
    values.remove(name);
    return this;
  }

  PublishedTensors zero(String name) {
    Arrays.fill(values.get(name), 0);
    return this;
  }

  Map<String, double[]> doubles() {
    var doubles = new LinkedHashMap<String, double[]>();
    values.forEach(
        (name, numbers) -> {
          var wide = new double[numbers.length];
          for (int i = 0; i < wide.length; i++) {
            wide[i] = numbers[i];
          }
          doubles.put(name, wide);
        });
    return doubles;
  }

  Path write(Path file) throws Exception {
    return write(file, ScalarType.Float);
  }

  Path write(Path file, ScalarType type) throws Exception {
    try (PointerScope scope = new PointerScope()) {
      var tensors = new LinkedHashMap<String, Tensor>();
      shapes.forEach(
          (name, shape) -> tensors.put(name, torch.tensor(values.get(name)).view(shape).to(type)));
      Safetensors.write(file, tensors, Map.of("format", "pt"));
    }
    return file;
  }
}
