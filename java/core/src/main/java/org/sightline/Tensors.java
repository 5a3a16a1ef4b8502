package org.sightline;

import static java.util.function.Function.identity;
import static java.util.stream.Collectors.toMap;

import java.util.Map;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.InferenceMode;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorImpl;
import org.bytedeco.pytorch.TensorOptions;
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

  /**
   * Whether a call computes shapes alone, as none of its tensors has memory. Where some have, the
   * kernel refuses the others.
   *
   * @param tensors null where there is none
   */
  static boolean areMeta(Tensor... tensors) {
    for (Tensor tensor : tensors) {
      if (tensor != null && !tensor.is_meta()) {
        return false;
      }
    }
    return true;
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
