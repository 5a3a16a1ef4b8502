package org.sightline;

import org.bytedeco.pytorch.global.torch;

/**
 * What there is of CUDA in this process, as libtorch, the driver and our kernels tell it.
 *
 * @param libtorch whether libtorch's CUDA build is loaded
 * @param devices that libtorch can use
 * @param kernels ours
 */
record CudaState(boolean libtorch, int devices, Backend kernels) {
  static CudaState ofProcess() {
    Sightline.load();
    boolean built = CallContext.isCudaBuild();
    return new CudaState(built, built ? torch.cuda_device_count() : 0, Sightline.cuda());
  }

  /** What keeps device {@code index} from computing, and what to do about it; null: nothing. */
  String obstacle(int index) {
    String parts = "; \"doctor\" lists the parts and who brings them";
    if (!libtorch) {
      return "libtorch's CUDA build is not loaded; it comes with org.sightline:sightline-gpu (here with"
          + " mvn -Pgpu) and needs CUDA 13's libraries"
          + parts;
    }
    if (devices > 0 && index >= devices) {
      return "libtorch has %d, the last is cuda:%d".formatted(devices, devices - 1);
    }
    if (!kernels.isAvailable()) {
      return kernels.unavailabilityCause() + parts;
    }
    return devices > 0 ? null : "libtorch has no CUDA device; look at CUDA_VISIBLE_DEVICES";
  }
}
