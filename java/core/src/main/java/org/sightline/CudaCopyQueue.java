package org.sightline;

import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.DeviceGuardImplInterface;
import org.bytedeco.pytorch.Stream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.DeviceType;
import org.bytedeco.pytorch.global.torch.EventFlag;
import org.sightline.binding.Scopes;

/**
 * A CUDA stream of libtorch's pool; what is sent has an event that its receiver's stream awaits.
 */
final class CudaCopyQueue implements CopyQueue {
  private final Device target;
  private final org.bytedeco.pytorch.Device device;
  private final DeviceGuardImplInterface cuda;
  private final Stream stream;

  CudaCopyQueue(Device target) {
    this.target = target;
    try (PointerScope scope = new PointerScope()) {
      device = Scopes.own(new org.bytedeco.pytorch.Device(target.toString()));
      cuda = Scopes.own(torch.getDeviceGuardImpl(DeviceType.CUDA));
      stream = Scopes.own(cuda.getStreamFromGlobalPool(device));
    }
  }

  @Override
  public Sent send(Tensor tensor) {
    try (PointerScope scope = new PointerScope()) {
      Stream before = cuda.exchangeStream(stream); // this thread's
      try {
        Tensor there = Scopes.own(target.move(tensor));
        PointerPointer<Pointer> event = new PointerPointer<Pointer>(1).put(0, null);
        cuda.record(event, stream, (byte) target.index(), EventFlag.PYTORCH_DEFAULT);
        return new OnStream(there, Scopes.own(event.get(0)));
      } finally {
        cuda.exchangeStream(before);
      }
    }
  }

  private final class OnStream implements Sent {
    private final Tensor tensor;
    private final Pointer event;

    OnStream(Tensor tensor, Pointer event) {
      this.tensor = tensor;
      this.event = event;
    }

    @Override
    public Tensor receive() {
      try (PointerScope scope = new PointerScope()) {
        Stream current = cuda.getStream(device);
        cuda.block(event, current);
        tensor.record_stream(current); // Its memory is of the copies' stream.
      }
      cuda.destroyEvent(event, (byte) target.index());
      return tensor;
    }

    @Override
    public void drop() {
      cuda.destroyEvent(event, (byte) target.index());
      tensor.close();
    }
  }
}
