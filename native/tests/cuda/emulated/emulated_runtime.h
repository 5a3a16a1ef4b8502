#pragma once

#include "cuda/runtime/device.h"
#include "cuda/runtime/path.h"

namespace emu {

// An A100, whose kernels are the portable ones, and an H100.
inline constexpr sightline::cuda::Device kAmpere{0, 108, 8, 0}, kHopper{0, 132, 9, 0};

// The GPU that emulated launches believe in; tests change it.
sightline::cuda::Device& device();

// The environment's choice of kernels; tests change it.
sightline::cuda::GemmPath& gemm_path();

// Whether streams say that they are being captured; tests change it.
bool& capturing();

// How often the device was waited for; tests set it to 0.
int& device_waits();

}  // namespace emu
