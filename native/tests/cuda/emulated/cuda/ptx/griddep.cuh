// Emulated: native/src/cuda/ptx/griddep.cuh. Grids run one after the other.
#pragma once
namespace sightline::ptx {
inline void grid_dependency_wait() {}
inline void grid_dependency_launch() {}
}  // namespace sightline::ptx
