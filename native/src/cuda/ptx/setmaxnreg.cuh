// setmaxnreg (sm_90a): moves registers between the warpgroups of a block. Needs a known count at
// entry (__launch_bounds__) and is executed by all four warps of a warpgroup.
#pragma once

#include "cuda/tensor/types.cuh"

namespace sightline::ptx {

template <int kRegisters>
SL_DEVICE void setmaxnreg_dec() {
  static_assert(kRegisters >= 24 && kRegisters <= 256 && kRegisters % 8 == 0, "24..256 by 8");
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

template <int kRegisters>
SL_DEVICE void setmaxnreg_inc() {
  static_assert(kRegisters >= 24 && kRegisters <= 256 && kRegisters % 8 == 0, "24..256 by 8");
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

}  // namespace sightline::ptx
