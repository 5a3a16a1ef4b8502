package org.sightline.binding;

import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.annotation.Cast;
import org.bytedeco.javacpp.annotation.Name;
import org.bytedeco.javacpp.annotation.NoException;
import org.bytedeco.javacpp.annotation.Platform;

/** What a tensor of libtorch is, in one crossing and without garbage. */
@Platform(include = "torch_tensor.h", link = "dl", library = "jnisightline_torch_tensor")
public final class TorchTensor {
  static {
    Loader.load(TorchTensor.class);
  }

  private TorchTensor() {}

  /** What {@link #describe} returns. */
  public static final int DESCRIBED = 0;

  /** libtorch lacks a function of its stable C ABI, or one failed. */
  public static final int NO_LIBTORCH = 1;

  /** More than {@code maxDims} dimensions. */
  public static final int DIMENSIONS = 2;

  /** A dtype that is none of float32, bfloat16 and int16. */
  public static final int DTYPE = 3;

  /** A device that is neither cpu nor cuda. */
  public static final int DEVICE = 4;

  /**
   * Writes a tensor's address, dtype, device, shape and strides into {@code out}, whose shape and
   * strides have room for {@code maxDims} numbers.
   *
   * @param tensor a libtorch tensor
   * @param first where the part of dimension 1 that is described begins; there must be one then
   * @param length how long that part is; if negative, all of it is described
   */
  @NoException
  @Name("sightline_torch_describe")
  public static native int describe(
      @Cast("void*") Pointer tensor,
      int maxDims,
      @Cast("int64_t") long first,
      @Cast("int64_t") long length,
      sl_tensor out);

  /**
   * Tells libtorch's autograd that a tensor was written to, without garbage.
   *
   * @return whether this libtorch has a function for it
   */
  public static boolean bumpVersion(Pointer tensor) {
    return bump(tensor) == 0;
  }

  // libtorch throws for a tensor made in inference mode.
  @Name("sightline_torch_bump_version")
  private static native int bump(@Cast("const void*") Pointer tensor);
}
