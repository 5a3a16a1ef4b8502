// Between ordinary stores to shared memory and TMA or tensor cores that read them next:
// every storing thread fences, then a barrier, then the asynchronous reader starts.
#pragma once

#include "cuda/tensor/types.cuh"

namespace sightline::ptx {

SL_DEVICE void fence_proxy_async_shared() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

}  // namespace sightline::ptx
