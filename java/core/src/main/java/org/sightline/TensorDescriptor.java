package org.sightline;

import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.Tensor;
import org.sightline.binding.Scopes;
import org.sightline.binding.TorchTensor;
import org.sightline.binding.sightline;
import org.sightline.binding.sl_dtype;
import org.sightline.binding.sl_tensor;

/**
 * An {@code sl_tensor} with memory for its shape and strides, filled again for each call, so that a
 * call allocates next to nothing. Not thread-safe.
 */
final class TensorDescriptor implements AutoCloseable {
  private static final int MAX_DIMS = 8;

  private final sl_tensor tensor = Scopes.own(new sl_tensor());
  private final LongPointer shape = Scopes.own(new LongPointer(MAX_DIMS));
  private final LongPointer strides = Scopes.own(new LongPointer(MAX_DIMS));
  private final sl_dtype dtype;

  TensorDescriptor() {
    tensor.shape(shape).strides(strides);
    dtype = tensor.dtype();
  }

  /**
   * Describes {@code t}, float32 or bfloat16, which must outlive the use of the result.
   *
   * @param name of the argument, for messages
   */
  sl_tensor of(String name, Tensor t) {
    return describe(name, t, false, 0, -1);
  }

  /** As {@link #of}, of an int16 tensor. */
  sl_tensor ofInt16(String name, Tensor t) {
    return describe(name, t, true, 0, -1);
  }

  /** Describes {@code t.narrow(1, first, length)}. */
  sl_tensor ofNarrowed(String name, Tensor t, long first, long length) {
    if (t.dim() < 2) {
      throw new IllegalArgumentException(
          name + " must have at least 2 dimensions, found " + t.dim());
    }
    return describe(name, t, false, first, length);
  }

  private sl_tensor describe(String name, Tensor t, boolean int16, long first, long length) {
    int found = TorchTensor.describe(t, MAX_DIMS, first, length, tensor);
    if (found != TorchTensor.DESCRIBED || (dtype.code() == sightline.SL_INT) != int16) {
      throw refused(name, t, found, int16);
    }
    return tensor;
  }

  private static RuntimeException refused(String name, Tensor t, int found, boolean int16) {
    return switch (found) {
      case TorchTensor.NO_LIBTORCH ->
          new IllegalStateException(name + ": libtorch's C ABI does not tell what it is");
      case TorchTensor.DIMENSIONS ->
          new IllegalArgumentException(
              name + " must have at most " + MAX_DIMS + " dimensions, found " + t.dim());
      case TorchTensor.DEVICE -> {
        try (Device other = t.device()) {
          yield new UnsupportedOperationException(
              name + " must be on cpu or cuda, found " + other.str().getString());
        }
      }
      default ->
          new IllegalArgumentException(
              name
                  + (int16 ? " must be Short" : " must be Float or BFloat16")
                  + ", found "
                  + Tensors.dtype(t));
    };
  }

  /** The tensor described last. */
  sl_tensor tensor() {
    return tensor;
  }

  /**
   * Describes {@code t}, float32 or bfloat16, in an {@code sl_tensor} with room for the shape and
   * strides that it has.
   */
  static void fill(String name, Tensor t, sl_tensor out) {
    int found = TorchTensor.describe(t, (int) t.dim(), 0, -1, out);
    if (found != TorchTensor.DESCRIBED) {
      throw refused(name, t, found, false);
    }
  }

  @Override
  public void close() {
    tensor.close();
    shape.close();
    strides.close();
  }
}
