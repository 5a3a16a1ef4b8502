// Replaces what libsightline allocates with, operator new and aligned_alloc: counted, and failing
// where a test asks for it. For the one source of a test program.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace allocations {

inline std::atomic<int64_t> made{0};
inline std::atomic<int64_t> live{0};  // those of operator new

// Of the calling thread: how many still succeed before one fails, whether all after it fail too,
// and how many have failed.
inline constexpr int64_t kAll = INT64_MAX;
inline thread_local int64_t to_succeed = kAll, failed = 0;
inline thread_local bool fails_on = false;

inline bool fails() {
  ++made;
  if (to_succeed == kAll || to_succeed-- > 0) return false;
  to_succeed = fails_on ? 0 : kAll;
  ++failed;
  return true;
}

}  // namespace allocations

void* operator new(size_t size) {
  void* memory = allocations::fails() ? nullptr : std::malloc(size > 0 ? size : 1);
  if (memory == nullptr) throw std::bad_alloc();
  ++allocations::live;
  return memory;
}
__attribute__((noinline)) void operator delete(void* memory) noexcept {
  if (memory != nullptr) --allocations::live;
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept { operator delete(memory); }

extern "C" void* aligned_alloc(size_t alignment, size_t size) {
  void* memory = nullptr;
  if (allocations::fails()) return nullptr;
  return posix_memalign(&memory, alignment, size) == 0 ? memory : nullptr;
}
