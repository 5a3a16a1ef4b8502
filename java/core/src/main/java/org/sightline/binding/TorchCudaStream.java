package org.sightline.binding;

import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.PointerPointer;
import org.bytedeco.javacpp.annotation.Cast;
import org.bytedeco.javacpp.annotation.Name;
import org.bytedeco.javacpp.annotation.NoException;
import org.bytedeco.javacpp.annotation.Platform;

/**
 * libtorch's current CUDA stream. The presets' own class for it comes with their CUDA build alone;
 * this one is there in every build and says whether there is such a libtorch.
 */
@Platform(include = "torch_cuda_stream.h", link = "dl", library = "jnisightline_torch_cuda_stream")
public final class TorchCudaStream {
  static {
    Loader.load(TorchCudaStream.class);
  }

  private TorchCudaStream() {}

  /** What {@link #current} returns where no CUDA build of libtorch is loaded. */
  public static final int NO_CUDA_BUILD = 1;

  /**
   * Writes a {@code cudaStream_t}, which may be null.
   *
   * @param stream null: asks no driver, only whether there is such a libtorch
   * @return 0, or {@link #NO_CUDA_BUILD}, or 2 if it fails
   */
  @NoException
  @Name("sightline_torch_cuda_stream")
  public static native int current(int device, @Cast("void**") PointerPointer<?> stream);
}
