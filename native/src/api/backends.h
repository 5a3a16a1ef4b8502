// Finding the backend that computes for a device.
#pragma once

#include "api/backend.h"

namespace sightline {

// The backend for tensors on `device`; SL_UNAVAILABLE with the cause as message if there is none
// that can compute on this machine, SL_INVALID_ARGUMENT for an id beyond the devices here.
sl_status find_backend(const sl_device& device, const Backend** out);

// The table for a device type, or null with its cause. It may still be unable to compute.
struct LoadedBackend {
  const Backend* table = nullptr;
  char cause[256] = "";
};
const LoadedBackend& loaded_cuda_backend();

}  // namespace sightline
