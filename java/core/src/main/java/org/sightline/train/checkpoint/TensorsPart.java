package org.sightline.train.checkpoint;

import java.util.Arrays;
import java.util.Map;
import java.util.function.Supplier;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.sightline.Finite;

/** A part that is nothing but tensors in place, such as parameters. */
public record TensorsPart(String name, Supplier<Map<String, Tensor>> live)
    implements Checkpointable {
  @Override
  public State state() {
    return new State(live.get(), "{}");
  }

  @Override
  public void restore(State state) {
    Map<String, Tensor> targets = live.get();
    requireSame(name, "tensors", state.tensors().keySet(), targets.keySet());
    targets.forEach(
        (key, target) -> {
          Tensor saved = state.tensors().get(key);
          requireSame(name, key, describe(saved), describe(target));
          Finite.require("checkpoint: " + name + ": " + key, saved);
        });
    try (NoGradGuard noGrad = new NoGradGuard()) {
      targets.forEach((key, target) -> target.copy_(state.tensors().get(key)));
    }
  }

  static void requireSame(String part, String what, Object found, Object expected) {
    if (!found.equals(expected)) {
      throw new IllegalArgumentException(
          "checkpoint does not fit this run: %s: %s: found %s, expected %s"
              .formatted(part, what, found, expected));
    }
  }

  private static String describe(Tensor tensor) {
    return tensor.scalar_type().intern() + " " + Arrays.toString(tensor.shape());
  }
}
