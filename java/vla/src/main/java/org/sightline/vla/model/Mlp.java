package org.sightline.vla.model;

import static org.bytedeco.pytorch.global.torch.gelu;
import static org.bytedeco.pytorch.global.torch.silu;

import org.bytedeco.pytorch.Tensor;

/** The feed-forward half of a block: [B,S,D] to [B,S,D]. */
@FunctionalInterface
interface Mlp extends Module {
  /** The MLP a configuration asks for; {@code name} with its trailing dot. */
  static Mlp of(Modules modules, String name, VisionConfig config) {
    long width = config.width();
    long hidden = config.mlpWidth();
    if (config.mlp() == MlpKind.SWIGLU) {
      Linear w12 = modules.linear(name + "w12", width, 2 * hidden, true);
      Linear w3 = modules.linear(name + "w3", hidden, width, true);
      return x -> {
        Tensor both = w12.forward(x);
        return w3.forward(silu(both.narrow(-1, 0, hidden)).mul(both.narrow(-1, hidden, hidden)));
      };
    }
    Linear fc1 = modules.linear(name + "fc1", width, hidden, true);
    Linear fc2 = modules.linear(name + "fc2", hidden, width, true);
    String approximate = config.mlp() == MlpKind.GELU_TANH ? "tanh" : "none";
    return x -> fc2.forward(gelu(fc1.forward(x), approximate));
  }
}
