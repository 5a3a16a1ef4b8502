// Emulated: native/src/cuda/ptx/fence.cuh.
#pragma once
namespace sightline::ptx {
inline void fence_proxy_async_shared() {}
}  // namespace sightline::ptx
