package org.sightline.vla.model;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.sightline.formats.Safetensors;

/**
 * A base model on disk: one safetensors file with every tensor of the Hugging Face state dict under
 * its name, so that an adapter trained here has its base model anywhere else. It is read back with
 * {@link SafetensorsWeights}, as is a published checkpoint in shards.
 */
public final class Checkpoint {
  private Checkpoint() {}

  /**
   * Writes all parameters of a model, those the forward pass never uses included, in the dtype the
   * weights have. They are in memory together for a moment.
   *
   * @param origin where the weights come from ({@code "random, seed 7"}), kept as metadata {@code
   *     weights}
   */
  public static void write(Path file, OpenVlaConfig config, Weights weights, String origin)
      throws IOException {
    try (PointerScope scope = new PointerScope()) {
      var tensors = new LinkedHashMap<String, Tensor>();
      for (ParameterSpec spec : ModelSpec.of(config).parameters()) {
        tensors.put(spec.name(), weights.get(spec));
      }
      Safetensors.write(
          file, tensors, Map.of("format", "pt", "preset", config.preset(), "weights", origin));
    }
  }
}
