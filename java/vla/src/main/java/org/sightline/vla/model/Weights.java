package org.sightline.vla.model;

import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.sightline.Checks;
import org.sightline.Device;

/**
 * Where a model's frozen parameters come from.
 *
 * <p>A source is asked once for each parameter the forward pass uses; the others of the checkpoint
 * (last ViT blocks, attention pool) are never asked for and need not be there.
 */
@FunctionalInterface
public interface Weights {
  /**
   * The parameter of this name.
   *
   * @return a tensor of exactly this shape, of any floating dtype, which the caller converts and
   *     does not modify
   * @throws IllegalArgumentException if it is missing or has another shape
   */
  Tensor get(ParameterSpec parameter);

  /** What errors call a parameter: where it is stored, and under which name. */
  default String describe(ParameterSpec parameter) {
    return "weight \"" + parameter.name() + "\"";
  }

  /**
   * Whether each tensor is a new one that the caller may keep as it is. If not, callers copy what
   * they keep: it may be a view of something that is closed or changed later.
   */
  default boolean handsOver() {
    return false;
  }

  /** Weights from named tensors, for example a state dict. */
  static Weights of(Map<String, Tensor> tensors) {
    return parameter -> {
      Tensor tensor = tensors.get(parameter.name());
      if (tensor == null) {
        throw new IllegalArgumentException(
            "weights lack \"%s\", expected with shape %s"
                .formatted(parameter.name(), parameter.shape()));
      }
      Checks.shape("weight \"" + parameter.name() + "\"", tensor, parameter.sizes());
      return tensor;
    };
  }

  /** Seeded random weights of a model that trains; see {@link RandomWeights}. */
  static Weights random(OpenVlaConfig config, long seed) {
    return random(config, seed, Device.CPU);
  }

  /**
   * The same, drawn on a device: others than on the CPU, from libtorch's own random numbers there.
   */
  static Weights random(OpenVlaConfig config, long seed, Device device) {
    return new RandomWeights(seed, config.text().layers(), config.dino().depth(), device);
  }
}
