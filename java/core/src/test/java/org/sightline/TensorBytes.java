package org.sightline;

import com.sun.jna.Callback;
import com.sun.jna.CallbackReference;
import com.sun.jna.Memory;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import org.bytedeco.pytorch.DebugInfoBase;
import org.bytedeco.pytorch.DebugInfoGuard;
import org.bytedeco.pytorch.global.torch.DebugInfoKind;

/**
 * Bytes of the tensors that this thread has made and not freed since, as libtorch's CPU allocator
 * reports them to a profiler: what each tensor asked for, nothing of the JVM, of {@code malloc} or
 * of other threads.
 *
 * <p>The profiler is a {@code c10::MemoryReportingInfoBase}. The presets cannot derive from that
 * class, so its table of virtual functions is written here as the Itanium C++ ABI lays it out.
 */
public final class TensorBytes implements AutoCloseable {
  /** {@code (this, pointer, size, allocated, reserved, device)}; a size below zero was freed. */
  private interface Report extends Callback {
    void invoke(Pointer self, Pointer data, long size, long allocated, long reserved, short device);
  }

  private interface Destructor extends Callback {
    void invoke(Pointer self);
  }

  private interface Enabled extends Callback {
    boolean invoke(Pointer self);
  }

  /** Two destructors, reportMemoryUsage, reportOutOfMemory, memoryProfilingEnabled. */
  private final Callback[] functions;

  private final Memory object;
  private final DebugInfoGuard guard;
  private long live;
  private long peak;

  public TensorBytes() {
    Destructor none = self -> {};
    Report report =
        (self, data, size, allocated, reserved, device) -> {
          live += size;
          peak = Math.max(peak, live);
        };
    Enabled enabled = self -> true;
    functions = new Callback[] {none, none, report, none, enabled};
    object = new Memory((functions.length + 1L) * Native.POINTER_SIZE);
    object.setPointer(0, object.share(Native.POINTER_SIZE));
    for (int i = 0; i < functions.length; i++) {
      Pointer function = CallbackReference.getFunctionPointer(functions[i]);
      object.setPointer((i + 1L) * Native.POINTER_SIZE, function);
    }
    var info = new Info(Pointer.nativeValue(object));
    guard = new DebugInfoGuard(DebugInfoKind.PROFILER_STATE, info);
  }

  /** Made and not freed since this object was. */
  public long live() {
    return live;
  }

  /** The most that {@link #live} has been. */
  public long peak() {
    return peak;
  }

  @Override
  public void close() {
    guard.close();
  }

  /** The object by its address. */
  private static final class Info extends DebugInfoBase {
    Info(long at) {
      super((org.bytedeco.javacpp.Pointer) null);
      address = at;
    }
  }
}
