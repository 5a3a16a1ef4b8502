package org.sightline.vla.model;

import static org.bytedeco.pytorch.global.torch.gelu;

import org.bytedeco.pytorch.Tensor;

/** From vision features to decoder tokens: fc3(gelu(fc2(gelu(fc1 x)))), erf-GELU, with biases. */
final class GeluProjector implements Module {
  private final Linear fc1;
  private final Linear fc2;
  private final Linear fc3;

  GeluProjector(Modules modules, OpenVlaConfig config) {
    String name = ModelSpec.PROJECTOR;
    long features = config.dino().width() + config.sigLip().width();
    long hidden = config.text().hiddenSize();
    fc1 = modules.linear(name + ".fc1", features, config.projectorWidth(), true);
    fc2 = modules.linear(name + ".fc2", config.projectorWidth(), hidden, true);
    fc3 = modules.linear(name + ".fc3", hidden, hidden, true);
  }

  /** Image tokens [B,N,D] of vision features [B,N,F]. */
  @Override
  public Tensor forward(Tensor features) {
    return fc3.forward(gelu(fc2.forward(gelu(fc1.forward(features)))));
  }
}
