package org.sightline.train.checkpoint;

import java.util.Map;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * libtorch's default random numbers on the CPU. Those of a GPU are not used here: dropout masks are
 * functions of a seed and a count, which the policy saves.
 */
public final class RandomPart implements Checkpointable {
  @Override
  public String name() {
    return "random";
  }

  @Override
  public State state() {
    return new State(Map.of("cpu", generator().get_state()), "{}");
  }

  @Override
  public void restore(State state) {
    Tensor saved = state.tensors().get("cpu");
    if (saved == null) {
      throw new IllegalArgumentException(
          "random numbers: cpu must be saved, found " + state.tensors().keySet());
    }
    generator().set_state(saved);
  }

  private static Generator generator() {
    return torch.getDefaultCPUGenerator();
  }
}
