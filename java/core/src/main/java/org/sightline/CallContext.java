package org.sightline;

import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerPointer;
import org.bytedeco.pytorch.Context;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.Float32Backend;
import org.bytedeco.pytorch.global.torch.Float32Op;
import org.bytedeco.pytorch.global.torch.Float32Precision;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.binding.Scopes;
import org.sightline.binding.TorchCudaStream;
import org.sightline.binding.sightline;
import org.sightline.binding.sl_context;

/**
 * The {@code sl_context} of a call: on a GPU libtorch's current stream and its setting of TF32, so
 * that our work stands in one line with libtorch's; on the CPU the defaults.
 */
final class CallContext {
  private static final ThreadLocal<CallContext> FRAMES = ThreadLocal.withInitial(CallContext::new);

  private final sl_context context = Scopes.own(new sl_context());
  private final PointerPointer<Pointer> stream = Scopes.own(new PointerPointer<>(1));
  private final LongPointer bytes = Scopes.own(new LongPointer(1));

  /** A native call that needs scratch memory; returns its status. */
  interface Call {
    int with(sl_context context);
  }

  private CallContext() {
    context.num_threads(0).workspace(null).workspace_bytes(0).workspace_query(null);
  }

  /**
   * Makes a call on tensors beside {@code like}, on a GPU with scratch memory of libtorch's
   * allocator, which gives it to the next call on the stream.
   */
  static void run(Tensor like, Call call) {
    sl_context context = of(like);
    if (context == null) {
      NativeCalls.check(call.with(null));
    } else {
      runWithScratch(like, context, call);
    }
  }

  /** The call is made twice: the first time it only tells how much it needs. */
  static void runWithScratch(Tensor like, sl_context context, Call call) {
    LongPointer bytes = FRAMES.get().bytes.put(0, 0);
    try {
      NativeCalls.check(call.with(context.workspace_query(bytes)));
      long words = (bytes.get(0) + Float.BYTES - 1) / Float.BYTES;
      try (Tensor scratch = Tensors.empty(like, ScalarType.Float, words);
          Pointer data = scratch.data_ptr()) {
        context.workspace_query(null).workspace(data).workspace_bytes(words * Float.BYTES);
        NativeCalls.check(call.with(context));
      }
    } finally {
      context.workspace_query(null).workspace(null).workspace_bytes(0);
    }
  }

  /**
   * For a call on tensors beside {@code like}, made by this thread before it asks for another.
   *
   * @return null on the CPU
   * @throws UnsupportedOperationException if libtorch can tell no CUDA stream
   */
  static sl_context of(Tensor like) {
    if (!like.is_cuda()) {
      return null;
    }
    CallContext frame = FRAMES.get();
    try (Device device = like.device()) {
      frame.context.stream(currentStream(device.index()));
    }
    return frame.context.fp32_precision(fp32Precision());
  }

  /** Whether the libtorch in this process is its CUDA build. */
  static boolean isCudaBuild() {
    return TorchCudaStream.current(0, null) != TorchCudaStream.NO_CUDA_BUILD;
  }

  /** libtorch's current stream on a CUDA device; null is the default stream. */
  static Pointer currentStream(int device) {
    CallContext frame = FRAMES.get();
    int failure = TorchCudaStream.current(device, frame.stream);
    if (failure != 0) {
      throw new UnsupportedOperationException(
          "cuda:%s: %s"
              .formatted(
                  device,
                  failure == TorchCudaStream.NO_CUDA_BUILD
                      ? "no CUDA build of libtorch is loaded, expected that of -Pgpu"
                      : "libtorch failed to tell its current stream"));
    }
    return frame.stream.get(0);
  }

  static int fp32Precision() {
    try (Context settings = torch.globalContext()) {
      Float32Precision found =
          settings.float32Precision(Float32Backend.CUDA, Float32Op.MATMUL).intern();
      return found == Float32Precision.TF32 ? sightline.SL_FP32_TF32 : sightline.SL_FP32_IEEE;
    }
  }
}
