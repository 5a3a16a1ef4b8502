// Scratch memory of calls, in stream order: one buffer per device and stream, grown when a call
// needs more than any before it on that stream, so that after a first call nothing allocates. Calls
// on one stream follow each other and share the buffer; calls on different streams have their own.
//
// A stream that is being captured cannot grow its buffer: run once before capturing. Graphs keep
// the buffer's address, so growing retires the old buffer but does not free it; what is retired is
// freed with the process. Sizes at least double, which bounds the sum.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "common/arena.h"
#include "cuda/runtime/status.h"

namespace sightline::cuda {

cudaError_t cached_workspace(int device, cudaStream_t stream, int64_t bytes, void** out);

// *out receives `bytes` bytes: the caller's workspace, or the stream's cached one. Answers a query
// for workspace by kWorkspaceQueried. Before anything is launched.
inline sl_status acquire_workspace(int device, const sl_context& context, int64_t bytes,
                                   void** out) {
  constexpr uintptr_t kAlignment = 256;
  if (bytes == kTooMuch) {
    return set_error(SL_OUT_OF_MEMORY, "scratch memory: 2^63 bytes or more are needed");
  }
  if (context.workspace_query != nullptr) {
    *context.workspace_query = static_cast<uint64_t>(bytes);
    return kWorkspaceQueried;
  }
  *out = context.workspace;
  if (*out == nullptr) {
    return status_of(
        cached_workspace(device, static_cast<cudaStream_t>(context.stream), bytes, out),
        "scratch memory");
  }
  if (context.workspace_bytes >= static_cast<uint64_t>(bytes) &&
      reinterpret_cast<uintptr_t>(*out) % kAlignment == 0) {
    return SL_OK;
  }
  return set_error(
      SL_INVALID_ARGUMENT,
      "context.workspace: %llu bytes at %p, expected at least %lld bytes on a multiple of %d",
      static_cast<unsigned long long>(context.workspace_bytes), *out, static_cast<long long>(bytes),
      static_cast<int>(kAlignment));
}

}  // namespace sightline::cuda
