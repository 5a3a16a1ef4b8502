package org.sightline;

import java.util.Arrays;
import org.bytedeco.pytorch.InferenceMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.Layout;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Checks of arguments: each throws an {@link IllegalArgumentException} with the argument's name,
 * what it must be and what was found.
 */
public final class Checks {
  private Checks() {}

  public static void atLeast(String name, long value, long least) {
    require(value >= least, name, "at least " + least, value);
  }

  public static void atMost(String name, long value, long most) {
    require(value <= most, name, "at most " + most, value);
  }

  /** Passes in 0 to {@code last}. */
  public static void index(String name, long value, long last) {
    require(value >= 0 && value <= last, name, "in 0.." + last, value);
  }

  /** Passes if {@code value} divides {@code whole}, both above 0. */
  public static void divides(String name, long value, String dividend, long whole) {
    atLeast(name, value, 1);
    atLeast(dividend, whole, 1);
    if (whole % value != 0) {
      throw new IllegalArgumentException(
          name + " must divide " + dividend + " " + whole + ", found " + value);
    }
  }

  public static void notNegative(String name, double value) {
    require(value >= 0 && Double.isFinite(value), name, "finite and at least 0", value);
  }

  public static void positive(String name, double value) {
    require(value > 0 && Double.isFinite(value), name, "finite and above 0", value);
  }

  /**
   * A probability that is not certainty, as a float32 holds it: of dropout, of a moving average to
   * keep its value.
   */
  public static void belowOne(String name, double value) {
    float found = (float) value;
    require(value >= 0 && found < 1, name, "in [0, 1)", found);
  }

  private static void require(boolean valid, String name, String expected, Object found) {
    if (!valid) {
      throw new IllegalArgumentException(name + " must be " + expected + ", found " + found);
    }
  }

  /** Passes if {@code tensor} has this shape. */
  public static void shape(String name, Tensor tensor, long... expected) {
    long[] found = Tensors.shape(tensor);
    if (!Arrays.equals(found, expected)) {
      throw new IllegalArgumentException(
          "%s must have shape %s, found %s"
              .formatted(name, Arrays.toString(expected), Arrays.toString(found)));
    }
  }

  /** As {@link #shape} with the shape of {@code like}, without garbage if it fits. */
  static void sameShape(Tensor like, String name, Tensor tensor) {
    boolean same = tensor.dim() == like.dim();
    for (int i = 0; same && i < like.dim(); i++) {
      same = tensor.size(i) == like.size(i);
    }
    if (!same) {
      shape(name, tensor, Tensors.shape(like));
    }
  }

  static void dims(String name, Tensor tensor, int expected, String layout) {
    if (tensor.dim() != expected) {
      throw new IllegalArgumentException(
          name + " must be " + layout + ", found shape " + Arrays.toString(Tensors.shape(tensor)));
    }
  }

  /** The dtype, if it is one the kernels compute in. */
  static DType kernelDType(String name, Tensor tensor) {
    ScalarType found = Tensors.dtype(tensor);
    return switch (found) {
      case Float -> DType.FLOAT32;
      case BFloat16 -> DType.BFLOAT16;
      default ->
          throw new IllegalArgumentException(name + " must be Float or BFloat16, found " + found);
    };
  }

  /** Refuses sparse and other layouts, which have no strides. */
  static void strided(String name, Tensor tensor) {
    // Asking for the layout makes an object; what has a storage is strided.
    Layout found = tensor.has_storage() ? Layout.Strided : tensor.layout().intern();
    if (found != Layout.Strided) {
      throw new IllegalArgumentException(name + " must be Strided, found " + found);
    }
  }

  /** Refuses what is not in memory as it reads: other layouts, and a negation yet to be done. */
  static void stored(String name, Tensor tensor) {
    strided(name, tensor);
    if (tensor.is_neg()) {
      throw new IllegalArgumentException(
          name + " must be stored, found a negated view; resolve_neg() stores it");
    }
  }

  /** As {@link #stored}, of a tensor that is written to. */
  static void writable(String name, Tensor tensor) {
    stored(name, tensor);
    normal(name, tensor);
  }

  /**
   * Refuses to write to a tensor made in libtorch's inference mode: it has no version by which a
   * graph would learn of it.
   */
  static void normal(String name, Tensor tensor) {
    if (tensor.is_inference() && !InferenceMode.is_enabled()) {
      throw new IllegalArgumentException(
          name
              + " must be a normal tensor, found one made in inference mode;"
              + " clone() outside of it makes a normal one");
    }
  }
}
