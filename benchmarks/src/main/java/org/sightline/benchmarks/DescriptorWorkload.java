package org.sightline.benchmarks;

import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.DescriptorCalls;

/** A thousand times what a kernel call pays for one of its tensors: shape, strides, address. */
final class DescriptorWorkload extends Workload {
  private static final int CALLS = 1000;

  private final Tensor tensor;

  /**
   * Allocates a three-dimensional tensor.
   *
   * @param rivalsOnly leaves Sightline out, not even loading its classes' natives
   */
  DescriptorWorkload(boolean rivalsOnly) {
    try (PointerScope scope = new PointerScope()) {
      tensor = arena.keep(Torch.empty(ScalarType.Float, 2, 3, 5));
    }
    if (!rivalsOnly) {
      DescriptorCalls calls = arena.closing(new DescriptorCalls());
      contender("sightline", Role.SIGHTLINE, () -> describe(calls));
    }
    contender("presets' data_ptr", Role.FLOOR, this::address);
  }

  private void describe(DescriptorCalls calls) {
    for (int i = 0; i < CALLS; i++) {
      calls.describe(tensor);
    }
  }

  private void address() {
    for (int i = 0; i < CALLS; i++) {
      try (Pointer data = tensor.data_ptr()) {
        if (data.isNull()) {
          throw new IllegalStateException("a tensor with elements must have an address");
        }
      }
    }
  }

  @Override
  void refresh() {}

  /** There is no result to compare. */
  @Override
  double disagreement() {
    return 0;
  }

  @Override
  double tolerance() {
    return 0;
  }
}
