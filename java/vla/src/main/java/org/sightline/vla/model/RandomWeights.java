package org.sightline.vla.model;

import static org.bytedeco.pytorch.global.torch.createCPUGenerator;
import static org.bytedeco.pytorch.global.torch.empty;
import static org.bytedeco.pytorch.global.torch.manual_seed;
import static org.bytedeco.pytorch.global.torch.ones;
import static org.bytedeco.pytorch.global.torch.zeros;

import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.Tensor;
import org.sightline.Device;
import org.sightline.Seeds;

/**
 * Seeded random weights with which an untrained model can be fine-tuned through LoRA alone.
 *
 * <p>Because the base stays frozen, it must pass signals on from the start, so every initial
 * activation is of order one:
 *
 * <ul>
 *   <li>linear and patch embedding: N(0, 1/K), K the input width; biases zero;
 *   <li>the last linear of each residual branch: smaller by √(2 · depth), as in GPT-2, so that the
 *       residual stream does not grow with depth;
 *   <li>norms one (bias zero) and LayerScale one, where a fresh DINOv2 would have 1e-5 and pass its
 *       input through unchanged;
 *   <li>token embeddings N(0, 1), class and register tokens N(0, 1), position embeddings N(0, ½²),
 *       so that a frozen attention can tell tokens and places apart.
 * </ul>
 *
 * <p>Each tensor depends on the seed and its own name only: the same values in any order, for any
 * subset. These are not pretrained weights, and what is trained from them says nothing about
 * OpenVLA's quality.
 */
public final class RandomWeights implements Weights {
  private final long seed;
  private final int decoderDepth;
  private final int visionDepth;
  private final Device device;

  /**
   * @param decoderDepth blocks of the decoder, for the scale of its residual branches
   * @param visionDepth blocks of a vision transformer, likewise
   * @param device where they are drawn
   */
  public RandomWeights(long seed, int decoderDepth, int visionDepth, Device device) {
    this.seed = seed;
    this.decoderDepth = decoderDepth;
    this.visionDepth = visionDepth;
    this.device = device;
  }

  @Override
  public Tensor get(ParameterSpec parameter) {
    String name = parameter.name();
    long[] shape = parameter.sizes();
    if (name.endsWith(".bias")) {
      return zeros(shape);
    }
    if (name.endsWith(".scale_factor") || name.endsWith("norm.weight") || isViTNorm(name)) {
      return ones(shape);
    }
    long own = Seeds.of(seed, name);
    double deviation = standardDeviation(name, shape);
    if (device.equals(Device.CPU)) {
      return empty(shape).normal_(0, deviation, new GeneratorOptional(createCPUGenerator(own)));
    }
    manual_seed(own); // That of every device.
    return device.move(empty(0)).new_empty(shape).normal_(0, deviation, new GeneratorOptional());
  }

  private static boolean isViTNorm(String name) {
    return name.endsWith("norm1.weight") || name.endsWith("norm2.weight");
  }

  private double standardDeviation(String name, long[] shape) {
    if (name.endsWith("pos_embed")) {
      return 0.5;
    }
    if (name.endsWith("_token")
        || name.endsWith("latent")
        || name.endsWith("embed_tokens.weight")) {
      return 1;
    }
    long inputs = 1;
    for (int i = 1; i < shape.length; i++) {
      inputs *= shape[i];
    }
    double deviation = 1 / Math.sqrt(inputs);
    if (name.endsWith("o_proj.weight") || name.endsWith("down_proj.weight")) {
      deviation /= Math.sqrt(2.0 * decoderDepth);
    } else if (name.contains("blocks.")
        && (name.endsWith("attn.proj.weight")
            || name.endsWith("mlp.fc2.weight")
            || name.endsWith("mlp.w3.weight"))) {
      deviation /= Math.sqrt(2.0 * visionDepth);
    }
    return deviation;
  }
}
