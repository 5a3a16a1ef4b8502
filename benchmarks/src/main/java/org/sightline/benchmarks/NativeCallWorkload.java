package org.sightline.benchmarks;

import org.bytedeco.pytorch.global.torch;
import org.sightline.binding.sightline;
import org.sightline.binding.sl_adamw;

/** A thousand calls that do nothing but cross from Java to native code and back. */
final class NativeCallWorkload extends Workload {
  private static final int CALLS = 1000;

  /**
   * Nothing to allocate.
   *
   * @param rivalsOnly leaves Sightline out, not even loading its classes' natives
   */
  NativeCallWorkload(boolean rivalsOnly) {
    if (!rivalsOnly) {
      contender("sightline", Role.SIGHTLINE, NativeCallWorkload::destroyNothing);
    }
    contender("presets' get_num_threads", Role.FLOOR, NativeCallWorkload::threads);
  }

  private static void destroyNothing() {
    for (int i = 0; i < CALLS; i++) {
      sightline.sl_adamw_destroy((sl_adamw) null);
    }
  }

  private static void threads() {
    for (int i = 0; i < CALLS; i++) {
      torch.get_num_threads();
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
