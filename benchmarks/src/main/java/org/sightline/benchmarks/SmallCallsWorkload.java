package org.sightline.benchmarks;

import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.DescriptorCalls;
import org.sightline.binding.sightline;
import org.sightline.binding.sl_adamw;

/** A thousand small calls, beside as many of the presets. There are no results to compare. */
final class SmallCallsWorkload extends Workload {
  private static final int CALLS = 1000;

  private SmallCallsWorkload() {}

  /** Calls that do nothing but cross from Java to native code and back. */
  static Workload crossing(boolean rivalsOnly) {
    SmallCallsWorkload workload = new SmallCallsWorkload();
    if (!rivalsOnly) {
      workload.repeated(
          "sightline", Role.SIGHTLINE, () -> sightline.sl_adamw_destroy((sl_adamw) null));
    }
    workload.repeated("presets' get_num_threads", Role.FLOOR, torch::get_num_threads);
    return workload;
  }

  /** What a kernel call pays for one of its tensors: shape, strides, address. */
  static Workload describing(boolean rivalsOnly) {
    SmallCallsWorkload workload = new SmallCallsWorkload();
    Tensor tensor;
    try (PointerScope scope = new PointerScope()) {
      tensor = workload.arena.keep(Torch.empty(ScalarType.Float, 2, 3, 5));
    }
    if (!rivalsOnly) {
      DescriptorCalls calls = workload.arena.closing(new DescriptorCalls());
      workload.repeated("sightline", Role.SIGHTLINE, () -> calls.describe(tensor));
    }
    workload.repeated("presets' data_ptr", Role.FLOOR, () -> requireAddress(tensor));
    return workload;
  }

  private void repeated(String name, Role role, Runnable call) {
    contender(
        name,
        role,
        () -> {
          for (int i = 0; i < CALLS; i++) {
            call.run();
          }
        });
  }

  private static void requireAddress(Tensor tensor) {
    try (Pointer data = tensor.data_ptr()) {
      if (data.isNull()) {
        throw new IllegalStateException("a tensor with elements must have an address");
      }
    }
  }

  @Override
  void refresh() {}

  @Override
  double disagreement() {
    return 0;
  }

  @Override
  double tolerance() {
    return 0;
  }
}
