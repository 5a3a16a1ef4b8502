package org.sightline;

import java.util.Optional;
import org.bytedeco.pytorch.Tensor;

/**
 * Copies of tensors to a device beside its computation, for what is wanted later: neither the
 * thread that sends nor the one that receives waits for them.
 */
public interface CopyQueue {
  /** A tensor on its way. Whoever holds it calls one of the two methods, once. */
  interface Sent {
    /**
     * Makes the work that this thread gives to the device from now on wait for the copy.
     *
     * @return the tensor there, the caller's to close
     */
    Tensor receive();

    /** Gives it up. */
    void drop();
  }

  /** Begins to copy a tensor of the host, which may be closed at once. */
  Sent send(Tensor tensor);

  /** That of a device; empty where copies have no queue of their own. */
  static Optional<CopyQueue> to(Device device) {
    return device.type().equals("cuda") ? Optional.of(new CudaCopyQueue(device)) : Optional.empty();
  }
}
