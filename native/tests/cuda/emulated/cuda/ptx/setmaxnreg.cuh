// Emulated: native/src/cuda/ptx/setmaxnreg.cuh. The four warps of a warpgroup execute it together.
#pragma once

#include "emulator.h"

namespace sightline::ptx {

template <int kRegisters>
void setmaxnreg_dec() {
  emu::meet(emu::group_meeting(), emu::self().id % 128, 128, nullptr, "setmaxnreg", nullptr);
}
template <int kRegisters>
void setmaxnreg_inc() {
  emu::meet(emu::group_meeting(), emu::self().id % 128, 128, nullptr, "setmaxnreg", nullptr);
}

}  // namespace sightline::ptx
