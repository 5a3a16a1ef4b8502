// Sizes of memory and how it is cut, in arithmetic that does not wrap: what leaves 63 bits becomes
// kTooMuch, which stays, and which no workspace has.
#pragma once

#include <cstdint>

namespace sightline {

inline constexpr int64_t kTooMuch = INT64_MAX;

// Of numbers of at least 0.
inline int64_t checked_sum(int64_t a, int64_t b) {
  int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? kTooMuch : sum;
}
inline int64_t checked_product(int64_t a) { return a; }
template <class... More>
int64_t checked_product(int64_t a, int64_t b, More... more) {
  int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return kTooMuch;
  return checked_product(product, static_cast<int64_t>(more)...);
}

// Hands out consecutive pieces at multiples of kAlignment. A null base only measures: lay out once
// with null for the size, once more with the memory.
template <int64_t kAlignment>
class AlignedArena {
 public:
  explicit AlignedArena(void* base) : base_(static_cast<char*>(base)) {}

  // As many elements as the product of the factors.
  template <class T, class... Factors>
  T* take(int64_t count, Factors... factors) {
    T* piece = base_ != nullptr ? reinterpret_cast<T*>(base_ + used_) : nullptr;
    const int64_t size = sizeof(T);
    const int64_t bytes = checked_product(count, static_cast<int64_t>(factors)..., size);
    const int64_t end = checked_sum(checked_sum(used_, bytes), kAlignment - 1);
    used_ = end == kTooMuch ? kTooMuch : end / kAlignment * kAlignment;
    return piece;
  }
  int64_t bytes() const { return used_; }
  // Goes back to an earlier bytes(), so that what follows shares memory with what is there.
  void rewind(int64_t bytes) { used_ = bytes; }

 private:
  char* base_;
  int64_t used_ = 0;
};

}  // namespace sightline
