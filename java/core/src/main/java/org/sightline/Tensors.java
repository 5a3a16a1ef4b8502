package org.sightline;

import java.util.Arrays;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Small helpers around libtorch tensors. */
final class Tensors {
  private Tensors() {}

  static Scalar scalar(double value) {
    return new Scalar(value);
  }

  static long[] shape(Tensor tensor) {
    long[] shape = new long[(int) tensor.dim()];
    for (int i = 0; i < shape.length; i++) {
      shape[i] = tensor.size(i);
    }
    return shape;
  }

  static ScalarType dtype(Tensor tensor) {
    // Enums coming from native code are fresh objects; intern() finds the constant.
    return tensor.scalar_type().intern();
  }

  static void requireShape(String name, Tensor tensor, long... expected) {
    long[] found = shape(tensor);
    if (!Arrays.equals(found, expected)) {
      throw new IllegalArgumentException(
          name
              + " must have shape "
              + Arrays.toString(expected)
              + ", found "
              + Arrays.toString(found));
    }
  }

  static void requireKernelDType(String name, Tensor tensor) {
    ScalarType found = dtype(tensor);
    if (found != ScalarType.Float && found != ScalarType.BFloat16) {
      throw new IllegalArgumentException(name + " must be Float or BFloat16, found " + found);
    }
  }

  static Tensor empty(ScalarType dtype, long... shape) {
    try (TensorOptions options = new TensorOptions(dtype);
        MemoryFormatOptional format = new MemoryFormatOptional()) {
      return torch.empty(shape, options, format);
    }
  }

  /** A contiguous detached copy that no scope owns: the caller closes it. */
  static Tensor copyOf(Tensor tensor) {
    try (NoGradGuard noGrad = new NoGradGuard()) {
      return own(tensor.detach().clone().contiguous());
    }
  }

  /** Takes a new object out of every {@code PointerScope}; the caller closes it. */
  static <P extends Pointer> P own(P pointer) {
    pointer.retainReference();
    return pointer;
  }

  /** Hands an owned object to the innermost open scope, or to the garbage collector if none is. */
  static <P extends Pointer> P release(P pointer) {
    PointerScope scope = PointerScope.getInnerScope();
    if (scope != null) {
      scope.attach(pointer);
      pointer.releaseReference();
    }
    return pointer;
  }
}
