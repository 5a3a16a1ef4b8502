package org.sightline;

import java.util.Arrays;
import java.util.Optional;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.T_TensorTensor_T;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Finds values that are NaN or infinite where only numbers make sense: in weights, logits, merged
 * tensors. One read of the tensor at the speed of memory, without a copy: its smallest and largest
 * value tell.
 */
public final class Finite {
  private Finite() {}

  /**
   * Passes if every value is finite; so does a tensor without elements, or memory, or of integers.
   *
   * @param name of the tensor, for the error
   * @return the tensor
   * @throws IllegalArgumentException naming the tensor, the first value that is not and its place
   */
  public static Tensor require(String name, Tensor tensor) {
    defect(tensor)
        .ifPresent(
            found -> {
              throw new IllegalArgumentException(name + " must be finite, found " + found);
            });
    return tensor;
  }

  /** The first value that is not finite and its place, such as {@code NaN at [0, 1]}. */
  public static Optional<String> defect(Tensor tensor) {
    try (PointerScope scope = new PointerScope();
        NoGradGuard noGrad = new NoGradGuard()) {
      if (tensor.numel() == 0 || !tensor.is_floating_point() || tensor.is_meta()) {
        return Optional.empty();
      }
      T_TensorTensor_T ends = tensor.aminmax(); // A NaN is both.
      if (Double.isFinite(ends.get0().item_double())
          && Double.isFinite(ends.get1().item_double())) {
        return Optional.empty();
      }
      long place = tensor.flatten().isfinite().to(ScalarType.Byte).argmin().item_long();
      double value = tensor.flatten().select(0, place).item_double();
      long[] index = new long[(int) tensor.dim()];
      for (int d = index.length - 1; d >= 0; d--) {
        index[d] = place % tensor.size(d);
        place /= tensor.size(d);
      }
      return Optional.of(value + " at " + Arrays.toString(index));
    }
  }
}
