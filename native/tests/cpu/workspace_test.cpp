// Sizes of scratch memory that leave 63 bits are refused, wherever in the counting that is.
#include "cpu/workspace.h"

#include <cstring>

#include "api/backend.h"
#include "harness.h"

using namespace sightline;
using namespace sightline::cpu;

TEST(pieces_follow_each_other) {
  alignas(64) char memory[256];
  for (void* base : {static_cast<void*>(nullptr), static_cast<void*>(memory)}) {
    Arena arena(base);
    CHECK_EQ(static_cast<void*>(arena.take<float>(3, 5)), base);
    CHECK_EQ(arena.bytes(), 64);
    arena.take<char>(65);
    CHECK_EQ(arena.bytes(), 192);
    arena.take<double>(0, 7);
    CHECK_EQ(arena.bytes(), 192);
  }
}

TEST(what_does_not_fit_stays_too_much) {
  const int64_t big = int64_t{1} << 40;
  const auto taken = [](auto... factors) {
    Arena arena(nullptr);
    arena.take<float>(factors...);
    arena.take<float>(1);
    return arena.bytes();
  };
  CHECK_EQ(taken(big, int64_t{1} << 20), (int64_t{1} << 62) + 64);
  CHECK_EQ(taken(big, int64_t{1} << 21), kTooMuch);  // by the size of an element
  CHECK_EQ(taken(big, big), kTooMuch);               // by the count: 2^80
  CHECK_EQ(taken(big, int64_t{1} << 24), kTooMuch);  // to 0 in 64 bits
  CHECK_EQ(taken(INT64_MAX / 4), kTooMuch);          // by rounding up
  Arena sum(nullptr);
  for (int i = 0; i < 3; ++i) sum.take<float>(big, int64_t{1} << 20);
  CHECK_EQ(sum.bytes(), kTooMuch);
}

TEST(no_workspace_has_too_much) {
  uint64_t needed = 7;
  char memory[64];
  sl_context query{}, given{};
  query.workspace_query = &needed;
  given.workspace = memory;
  given.workspace_bytes = UINT64_MAX;
  for (const sl_context& context : {sl_context{}, query, given}) {
    void* out = nullptr;
    CHECK_EQ(acquire_workspace(context, kTooMuch, &out), SL_OUT_OF_MEMORY);
    CHECK(std::strstr(sl_last_error(), "2^63 bytes") != nullptr);
  }
  CHECK_EQ(needed, 7u);
}

TEST_MAIN()
