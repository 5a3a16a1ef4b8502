package org.sightline.train.checkpoint;

import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.sightline.AdamW;
import org.sightline.Finite;

/** Moments, masters and step counts of the optimizer. */
public record OptimizerPart(AdamW optimizer) implements Checkpointable {
  @Override
  public String name() {
    return "optimizer";
  }

  @Override
  public State state() {
    Map<String, Tensor> tensors = optimizer.state();
    PointerScope scope = PointerScope.getInnerScope();
    for (Tensor tensor : tensors.values()) {
      scope.attach(tensor);
      tensor.releaseReference();
    }
    return new State(tensors, "{}");
  }

  @Override
  public void restore(State state) {
    state.tensors().forEach((key, saved) -> Finite.require("checkpoint: optimizer: " + key, saved));
    optimizer.loadState(state.tensors());
  }
}
