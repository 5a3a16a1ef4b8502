package org.sightline;

import static java.util.function.Function.identity;
import static java.util.stream.Collectors.toMap;

import java.util.Arrays;
import java.util.Map;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.InferenceMode;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorImpl;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch.Layout;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.binding.Scopes;
import org.sightline.binding.TorchTensor;

/** Small helpers around libtorch tensors. */
final class Tensors {
  /** Kept, as they cost more than the tensors made with them. */
  private static final Map<ScalarType, TensorOptions> OPTIONS =
      Stream.of(ScalarType.Float, ScalarType.BFloat16, ScalarType.Short)
          .collect(toMap(identity(), dtype -> Scopes.own(new TensorOptions(dtype))));

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

  /** As {@link #requireShape} with the shape of {@code like}, without garbage if it fits. */
  static void requireShapeOf(Tensor like, String name, Tensor tensor) {
    boolean same = tensor.dim() == like.dim();
    for (int i = 0; same && i < like.dim(); i++) {
      same = tensor.size(i) == like.size(i);
    }
    if (!same) {
      requireShape(name, tensor, shape(like));
    }
  }

  static void requireDims(String name, Tensor tensor, int expected, String layout) {
    if (tensor.dim() != expected) {
      throw new IllegalArgumentException(
          name + " must be " + layout + ", found shape " + Arrays.toString(shape(tensor)));
    }
  }

  /** The dtype, if it is one the kernels compute in. */
  static DType requireKernelDType(String name, Tensor tensor) {
    ScalarType found = dtype(tensor);
    return switch (found) {
      case Float -> DType.FLOAT32;
      case BFloat16 -> DType.BFLOAT16;
      default ->
          throw new IllegalArgumentException(name + " must be Float or BFloat16, found " + found);
    };
  }

  /** Refuses sparse and other layouts, which have no strides. */
  static void requireStrided(String name, Tensor tensor) {
    // Asking for the layout makes an object; what has a storage is strided.
    Layout found = tensor.has_storage() ? Layout.Strided : tensor.layout().intern();
    if (found != Layout.Strided) {
      throw new IllegalArgumentException(name + " must be Strided, found " + found);
    }
  }

  /** Refuses what is not in memory as it reads: other layouts, and a negation yet to be done. */
  static void requireStored(String name, Tensor tensor) {
    requireStrided(name, tensor);
    if (tensor.is_neg()) {
      throw new IllegalArgumentException(
          name + " must be stored, found a negated view; resolve_neg() stores it");
    }
  }

  /** As {@link #requireStored}, of a tensor that is written to. */
  static void requireWritable(String name, Tensor tensor) {
    requireStored(name, tensor);
    requireNormal(name, tensor);
  }

  /**
   * Refuses to write to a tensor made in libtorch's inference mode: it has no version by which a
   * graph would learn of it.
   */
  static void requireNormal(String name, Tensor tensor) {
    if (tensor.is_inference() && !InferenceMode.is_enabled()) {
      throw new IllegalArgumentException(
          name
              + " must be a normal tensor, found one made in inference mode;"
              + " clone() outside of it makes a normal one");
    }
  }

  /** An uninitialised tensor on the device of {@code like}. */
  static Tensor empty(Tensor like, ScalarType dtype, long... shape) {
    // What the options leave open is taken from the tensor.
    return like.new_empty(shape, OPTIONS.get(dtype));
  }

  /** The tensor itself if elements of its last dimension lie side by side, else a detached copy. */
  static Tensor withContiguousRows(Tensor tensor) {
    long last = tensor.dim() - 1;
    boolean contiguous = last < 0 || tensor.size(last) <= 1 || tensor.stride(last) == 1;
    boolean negated = tensor.is_neg();
    if (contiguous && !negated) {
      return tensor;
    }
    Tensor stored = tensor.detach();
    stored = negated ? stored.resolve_neg() : stored;
    return contiguous ? stored : stored.contiguous();
  }

  /**
   * Tells libtorch that the tensor was changed, as its own in-place operations do. Without it, a
   * backward pass would not notice that a saved tensor is no longer what it was.
   */
  static void bumpVersion(Tensor tensor) {
    if (!TorchTensor.bumpVersion(tensor)) {
      try (TensorImpl impl = tensor.unsafeGetTensorImpl()) {
        impl.bump_version();
      }
    }
  }

  /** A contiguous detached copy that no scope owns: the caller closes it. */
  static Tensor copyOf(Tensor tensor) {
    try (PointerScope scope = new PointerScope();
        InferenceMode normal = new InferenceMode(false);
        NoGradGuard noGrad = new NoGradGuard()) {
      return Scopes.own(tensor.detach().contiguous().clone());
    }
  }
}
