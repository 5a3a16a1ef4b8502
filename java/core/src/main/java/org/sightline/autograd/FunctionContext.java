package org.sightline.autograd;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.sightline.binding.Scopes;

/**
 * What one call of a {@link CustomFunction} carries from its forward to its backward pass.
 *
 * <p>Saved tensors live until the graph has been walked without {@code retain_graph}, or is
 * dropped; open and closed {@code PointerScope}s do not matter to them.
 */
public final class FunctionContext {
  private final String function;
  private final boolean[] needsGradient;
  private final boolean recording;
  private List<Tensor> saved = new ArrayList<>();
  private final List<Long> savedVersions = new ArrayList<>();
  private Object state;
  private boolean released;
  private boolean materializeGradients = true;

  FunctionContext(String function, boolean[] needsGradient, boolean recording) {
    this.function = function;
    this.needsGradient = needsGradient;
    this.recording = recording;
  }

  /** Whether a backward pass may follow; if false, nothing needs to be saved. */
  public boolean isRecording() {
    return recording;
  }

  /** How many inputs the function was applied to. */
  public int inputCount() {
    return needsGradient.length;
  }

  /** Whether the gradient of the input at {@code index} will be used. */
  public boolean needsGradient(int index) {
    return needsGradient[Objects.checkIndex(index, needsGradient.length)];
  }

  /**
   * Keeps tensors for the backward pass; they share the storage of those given. May be called
   * several times; does nothing when no backward pass can follow.
   */
  public synchronized void save(Tensor... tensors) {
    if (!recording) {
      return;
    }
    for (Tensor tensor : tensors) {
      Objects.requireNonNull(tensor, "saved tensor");
      if (tensor.is_inference()) {
        throw new IllegalArgumentException(
            function
                + ": a tensor made in inference mode cannot be saved for the backward pass;"
                + " clone() outside of it makes one that can");
      }
      // Detached, so that a saved tensor never keeps a piece of graph (and thereby itself) alive.
      Tensor kept = tensor.requires_grad() ? tensor.detach() : new Tensor(tensor);
      saved.add(Scopes.own(kept));
      savedVersions.add(kept._version());
    }
  }

  /**
   * A saved tensor, by the order of {@link #save}.
   *
   * @throws IndexOutOfBoundsException if no tensor was saved at {@code index}
   * @throws IllegalStateException if the graph has already been freed, or if the tensor was changed
   *     in place since it was saved
   */
  public synchronized Tensor saved(int index) {
    checkAlive();
    Tensor tensor = saved.get(index);
    long expected = savedVersions.get(index);
    if (tensor._version() != expected) {
      throw new IllegalStateException(
          ("%s: saved tensor %s was changed in place between forward and backward: it is at"
                  + " version %s, expected %s")
              .formatted(function, index, tensor._version(), expected));
    }
    return tensor;
  }

  /**
   * Whether outputs that did not contribute get a gradient of zeros (the default) or null.
   *
   * @param materialize false to be given null
   */
  public synchronized void materializeGradients(boolean materialize) {
    materializeGradients = materialize;
  }

  synchronized boolean materializesGradients() {
    return materializeGradients;
  }

  /** Keeps any object for the backward pass; it is closed with the context if it is closeable. */
  public synchronized void state(Object state) {
    this.state = state;
  }

  /**
   * The object given to {@link #state(Object)}, null if none was.
   *
   * @throws IllegalStateException if the graph has already been freed
   */
  public synchronized <T> T state(Class<T> type) {
    checkAlive();
    return type.cast(state);
  }

  synchronized boolean isReleased() {
    return released;
  }

  synchronized void release() {
    if (released) {
      return;
    }
    released = true;
    for (Tensor tensor : saved) {
      tensor.close();
    }
    saved = List.of();
    if (state instanceof AutoCloseable closeable) {
      closeQuietly(closeable);
    }
    state = null;
  }

  private static void closeQuietly(AutoCloseable closeable) {
    // Runs inside libtorch's destructors, which no exception may leave.
    try (PointerScope scope = new PointerScope()) {
      closeable.close();
    } catch (Exception e) {
      Thread thread = Thread.currentThread();
      thread.getUncaughtExceptionHandler().uncaughtException(thread, e);
    }
  }

  private void checkAlive() {
    if (released) {
      throw new IllegalStateException(releasedMessage());
    }
  }

  String releasedMessage() {
    return function
        + ": backward through a graph that has already been freed; pass retain_graph = true to the"
        + " first backward() if a second one is to follow";
  }
}
