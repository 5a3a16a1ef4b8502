#include "cpu/workspace.h"

#include <omp.h>

#include <cstdlib>

#include "api/backend.h"

namespace sightline::cpu {
namespace {

struct Cache {
  void* memory = nullptr;
  int64_t bytes = 0;

  Cache() = default;
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;
  ~Cache() { std::free(memory); }

  bool reserve(int64_t wanted) {
    if (wanted <= bytes) return true;
    std::free(memory);
    memory = std::aligned_alloc(kScratchAlignment, static_cast<size_t>(wanted));
    bytes = memory != nullptr ? wanted : 0;
    return memory != nullptr;
  }
};

}  // namespace

sl_status acquire_workspace(const sl_context& context, int64_t bytes, void** out) {
  // At any address: what may have to be skipped is asked for too.
  const int64_t anywhere = checked_sum(bytes, kScratchAlignment);
  if (anywhere == kTooMuch) {
    return set_error(SL_OUT_OF_MEMORY, "scratch memory: 2^63 bytes or more are needed");
  }
  const auto needed = static_cast<uint64_t>(anywhere);
  if (context.workspace_query != nullptr) {
    *context.workspace_query = needed;
    return kWorkspaceQueried;
  }
  if (context.workspace != nullptr) {
    const auto address = reinterpret_cast<uintptr_t>(context.workspace);
    const uint64_t skip = (kScratchAlignment - address % kScratchAlignment) % kScratchAlignment;
    if (context.workspace_bytes < skip + static_cast<uint64_t>(bytes)) {
      return set_error(SL_INVALID_ARGUMENT,
                       "context.workspace_bytes: %llu, expected at least %llu for this call",
                       static_cast<unsigned long long>(context.workspace_bytes),
                       static_cast<unsigned long long>(needed));
    }
    *out = static_cast<char*>(context.workspace) + skip;
    return SL_OK;
  }
  thread_local Cache cache;
  if (!cache.reserve(bytes)) {
    return set_error(SL_OUT_OF_MEMORY, "scratch memory: %lld bytes could not be allocated",
                     static_cast<long long>(bytes));
  }
  *out = cache.memory;
  return SL_OK;
}

int thread_count(const sl_context& context) {
  const int threads = context.num_threads > 0 ? context.num_threads : omp_get_max_threads();
  return threads > 0 ? threads : 1;
}

}  // namespace sightline::cpu
