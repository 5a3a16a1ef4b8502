// Scratch memory of one call: the caller's (sl_context.workspace), or a cache that belongs to the
// calling thread, grows to the largest request and is freed when the thread ends. After warm-up no
// call allocates, and concurrent calls never share scratch.
#pragma once

#include <cstdint>

#include "common/arena.h"
#include "sightline/sightline.h"

namespace sightline {

constexpr int64_t kScratchAlignment = 64;
using ScratchLayout = AlignedArena<kScratchAlignment>;

// *out receives `bytes` bytes, of a ScratchLayout, aligned to kScratchAlignment.
// SL_INVALID_ARGUMENT, naming the size needed, if the caller's workspace is too small;
// SL_OUT_OF_MEMORY if the cache cannot grow so far; kWorkspaceQueried if the call is a query, which
// this answers. Once per call, before anything is written: a second request may move the first.
sl_status acquire_workspace(const sl_context& context, int64_t bytes, void** out);

// OpenMP threads that a call with this context asks for, at least 1. It may be given fewer.
int thread_count(const sl_context& context);

}  // namespace sightline
