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

namespace sightline::cuda {

cudaError_t cached_workspace(int device, cudaStream_t stream, int64_t bytes, void** out);

}  // namespace sightline::cuda
