// Programmatic dependent launch (sm_90). Without the launch attribute both do nothing.
#pragma once

#include "cuda/tensor/types.cuh"

namespace sightline::ptx {

// Until every earlier grid has finished and its memory is visible. Every kernel of a chain calls it
// before it touches anything that another kernel writes or reads.
SL_DEVICE void grid_dependency_wait() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Lets the next grid start early once every block has called it; publishes nothing.
SL_DEVICE void grid_dependency_launch() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace sightline::ptx
