package org.sightline.autograd;

import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.PointerConsumer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.sightline.binding.Scopes;

/**
 * A one-element tensor that runs an action when libtorch frees it.
 *
 * <p>The presets offer no way to learn that a graph node was released or destroyed. A tensor with
 * its own deleter, saved in the graph, is such a way: it dies with what holds it.
 */
final class GraphToken {
  private static final ConcurrentMap<Long, Runnable> ACTIONS = new ConcurrentHashMap<>();
  // Owned, as the scope that happens to be open now must not take it along when it closes.
  private static final Deleter DELETER = Scopes.own(new Deleter());
  private static final long[] ONE_ELEMENT = {1};

  private GraphToken() {}

  /** A float32 tensor [1]; {@code onFree} runs once, on whichever thread drops the last holder. */
  static Tensor create(Runnable onFree) {
    Pointer memory = Pointer.calloc(1, Float.BYTES);
    if (memory.isNull()) {
      throw new OutOfMemoryError("no native memory for a graph token");
    }
    ACTIONS.put(memory.address(), onFree);
    return torch.from_blob(memory, ONE_ELEMENT, DELETER);
  }

  /** How many tokens are alive: for leak tests. */
  static int alive() {
    return ACTIONS.size();
  }

  private static final class Deleter extends PointerConsumer {
    Deleter() {
      super();
    }

    @Override
    public void call(Pointer memory) {
      Runnable action = ACTIONS.remove(memory.address());
      Pointer.free(memory);
      if (action != null) {
        action.run();
      }
    }
  }
}
