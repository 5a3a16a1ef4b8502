package org.sightline.vla.model;

import java.util.List;
import org.sightline.Checks;

/**
 * One module that PEFT's {@code all-linear} wraps with an adapter.
 *
 * @param module its full name in the base model
 * @param inputs K, input channels; for a patch convolution the elements of a patch
 * @param outputs N, output channels
 * @param kernel side of the convolution kernel, 0 for a linear layer
 * @param active whether OpenVLA's forward pass reaches the module. Inactive ones (last ViT blocks,
 *     attention pool) have adapters in the file, which stay at B = 0
 */
public record LoraTarget(String module, long inputs, long outputs, int kernel, boolean active) {

  /** The pair of tensors of this module's adapter, with the shapes of PEFT's file. */
  public List<ParameterSpec> parameters(int rank) {
    Checks.atLeast("rank", rank, 1);
    if (kernel == 0) {
      return List.of(
          ParameterSpec.of(module + ".lora_A.weight", rank, inputs),
          ParameterSpec.of(module + ".lora_B.weight", outputs, rank));
    }
    long channels = inputs / ((long) kernel * kernel);
    return List.of(
        ParameterSpec.of(module + ".lora_A.weight", rank, channels, kernel, kernel),
        ParameterSpec.of(module + ".lora_B.weight", outputs, rank, 1, 1));
  }
}
