// Scratch memory of one call: the caller's (sl_context.workspace), or a cache that belongs to the
// calling thread, grows to the largest request and is freed when the thread ends. After warm-up no
// call allocates, and concurrent calls never share scratch.
#pragma once

#include <cstdint>

#include "common/arena.h"
#include "sightline/sightline.h"

namespace sightline::cpu {

constexpr int64_t kScratchAlignment = 64;
using Arena = AlignedArena<kScratchAlignment>;

// *out receives `bytes` bytes, of an Arena, aligned to kScratchAlignment.
// SL_INVALID_ARGUMENT, naming the size needed, if the caller's workspace is too small;
// SL_OUT_OF_MEMORY if the cache cannot grow so far; kWorkspaceQueried if the call is a query, which
// this answers. Once per call, before anything is written: a second request may move the first.
sl_status acquire_workspace(const sl_context& context, int64_t bytes, void** out);

// Gives what `lay_out` makes of an Arena the memory of the call's workspace: called once to measure,
// once with the memory.
template <class LayOut>
sl_status lay_out_workspace(const sl_context& context, LayOut&& lay_out) {
  Arena measure(nullptr);
  lay_out(measure);
  void* memory = nullptr;
  const sl_status status = acquire_workspace(context, measure.bytes(), &memory);
  if (status == SL_OK) {
    Arena arena(memory);
    lay_out(arena);
  }
  return status;
}

// OpenMP threads that a call with this context asks for, at least 1. It may be given fewer.
int thread_count(const sl_context& context);

}  // namespace sightline::cpu
