package org.sightline.vla.model;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.sightline.LoraLinear;

/**
 * A frozen linear layer y = xWᵀ + b, with an adapter or without. Owns what it is made of.
 *
 * @param weight W [N,K]
 * @param bias b [N] or null
 * @param adapter or null
 */
record Linear(Tensor weight, Tensor bias, LoraLinear adapter) implements AutoCloseable {
  /** y [...,N] for x [...,K]. */
  Tensor forward(Tensor x) {
    if (adapter != null) {
      return adapter.forward(x);
    }
    return torch.linear(x, weight, bias == null ? new TensorOptional() : new TensorOptional(bias));
  }

  /**
   * The outputs of several layers on one input. Adapted layers share one read of {@code x} (their A
   * matrices are stacked); plain ones are run in turn.
   */
  static List<Tensor> forward(Tensor x, List<Linear> layers) {
    if (layers.stream().allMatch(layer -> layer.adapter != null)) {
      return LoraLinear.forward(x, layers.stream().map(layer -> layer.adapter).toList());
    }
    var outputs = new ArrayList<Tensor>(layers.size());
    for (Linear layer : layers) {
      outputs.add(layer.forward(x));
    }
    return outputs;
  }

  @Override
  public void close() {
    if (adapter != null) {
      adapter.close();
    }
    weight.close();
    if (bias != null) {
      bias.close();
    }
  }
}
