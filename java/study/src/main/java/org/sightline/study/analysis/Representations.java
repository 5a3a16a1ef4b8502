package org.sightline.study.analysis;

import static org.bytedeco.pytorch.global.torch.linalg_eigvalsh;

import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.Finite;

/**
 * Measures of features [n,d], one row a sample, in any dtype and on any device; computed in fp64.
 * Rows are centred first: a shift of all features is no difference.
 */
public final class Representations {
  private Representations() {}

  /**
   * How many directions the features use: the exponential of the entropy of their singular values
   * (Roy &amp; Vetterli, EUSIPCO 2007), from 1, all on a line, to min(n − 1, d). Features that are
   * all the same have 0.
   *
   * @throws IllegalArgumentException if they are not a finite matrix of two rows at least
   */
  public static double effectiveRank(Tensor features) {
    try (PointerScope scope = new PointerScope()) {
      Tensor centred = centred("features", features);
      // Those of XᵀX or XXᵀ, whichever is smaller, are the squares of the singular values of X.
      boolean tall = centred.size(0) > centred.size(1);
      Tensor gram = tall ? centred.t().matmul(centred) : centred.matmul(centred.t());
      double[] squares = values(linalg_eigvalsh(gram));
      double largest = squares[squares.length - 1];
      double sum = 0;
      for (int i = 0; i < squares.length; i++) {
        // What is left of rounding is no direction.
        squares[i] = squares[i] > largest * 1e-12 ? Math.sqrt(squares[i]) : 0;
        sum += squares[i];
      }
      double entropy = 0;
      for (double value : squares) {
        entropy -= value > 0 ? value / sum * Math.log(value / sum) : 0;
      }
      return sum > 0 ? Math.exp(entropy) : 0;
    }
  }

  /**
   * Linear CKA (Kornblith et al., arXiv 1905.00414): ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) in Frobenius norms, 1
   * where both are alike but for rotation and scale, near 0 where they have nothing in common.
   *
   * @param x [n,d]
   * @param y [n,e], of the same samples
   * @throws IllegalArgumentException if they are not finite matrices of equally many rows, two at
   *     least, or one is constant
   */
  public static double linearCka(Tensor x, Tensor y) {
    try (PointerScope scope = new PointerScope()) {
      Tensor a = centred("x", x);
      Tensor b = centred("y", y);
      if (a.size(0) != b.size(0)) {
        throw new IllegalArgumentException(
            "y must have as many rows as x, %s, found %s".formatted(a.size(0), b.size(0)));
      }
      double common = norm(b.t().matmul(a));
      return common * common / (ownNorm("x", a) * ownNorm("y", b));
    }
  }

  private static double ownNorm(String name, Tensor centred) {
    double norm = norm(centred.t().matmul(centred));
    if (norm == 0) {
      throw new IllegalArgumentException(name + " must have rows that differ, found equal ones");
    }
    return norm;
  }

  private static double norm(Tensor tensor) {
    return tensor.norm(new Scalar(2)).item_double();
  }

  /** In fp64 on the CPU, less the mean row. */
  private static Tensor centred(String name, Tensor features) {
    if (features.dim() != 2 || features.size(0) < 2 || features.size(1) < 1) {
      throw new IllegalArgumentException(
          name + " must be [n,d] with n of at least 2, found " + shape(features));
    }
    Tensor values = Finite.require(name, features.detach().cpu().to(ScalarType.Double));
    return values.sub(values.mean(0L));
  }

  private static String shape(Tensor tensor) {
    long[] sizes = new long[(int) tensor.dim()];
    for (int i = 0; i < sizes.length; i++) {
      sizes[i] = tensor.size(i);
    }
    return java.util.Arrays.toString(sizes);
  }

  private static double[] values(Tensor tensor) {
    double[] values = new double[(int) tensor.numel()];
    new DoublePointer(tensor.contiguous().data_ptr_double()).get(values);
    return values;
  }
}
