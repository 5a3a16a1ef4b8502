// Several products in one call of gemm().
#include <thread>

#include "gemm_case.h"
#include "harness.h"
#include "isa_test.h"

using namespace sightline;
using namespace sightline::cpu;

namespace {

// Two products: S = A B, then Y, which reads S. Run one by one, and as a sequence whose first
// product is slow to store S.
struct Chain {
  static constexpr int64_t kRows = 3000, kDepth = 130, kRank = 20, kColumns = 90;
  // Where Y reads S: Y = S V, Y = X W + S V, Y = X W plus S's first column in the epilogue.
  enum class Reads { kFirstSegment, kSecondSegment, kEpilogue };

  TestTensor a = make(kF32, true, kRows, kDepth, 21), b = make(kF32, true, kRank, kDepth, 22);
  TestTensor x = make(kF32, true, kRows, kDepth, 23), w = make(kF32, true, kColumns, kDepth, 24);
  TestTensor v = make(kF32, true, kColumns, kRank, 25);
  TestTensor s{kF32, 1, kRows, kRank}, y{kF32, 1, kRows, kColumns};
  StoreEpilogue store_s, store_y;
  KSegment s_segment{operand(a.view2(), true), operand(b.view2(), true), kDepth, nullptr};
  KSegment y_segments[2] = {
      {operand(x.view2(), true), operand(w.view2(), true), kDepth, nullptr},
      {operand(s.view2(), true), operand(v.view2(), true), kRank, nullptr},
  };
  Gemm sequence[2];

  explicit Chain(Reads reads) {
    s.fill([] { return double(NAN); });  // what must not be read
    store_s.out = s.view3(), store_y.out = y.view3();
    sequence[0] = {kRows, kRank, kF32, &s_segment, 1, store_slowly, &store_s};
    sequence[1] = {kRows, kColumns, kF32, y_segments, 2, store_tile, &store_y, 1, 1};
    if (reads == Reads::kFirstSegment) {
      sequence[1].segments = y_segments + 1, sequence[1].segment_count = 1,
      sequence[1].waits_at = 0;
    } else if (reads == Reads::kEpilogue) {
      sequence[1].segment_count = 1, sequence[1].epilogue = store_plus_s, sequence[1].user = this;
    }
  }

  static void store_slowly(const void* store, const Kernels& table, const GemmTile& tile) {
    for (int i = 0; i < 100; ++i) std::this_thread::yield();
    store_tile(store, table, tile);
  }
  static void store_plus_s(const void* user, const Kernels& table, const GemmTile& tile) {
    const Chain& chain = *static_cast<const Chain*>(user);
    for (int64_t i = 0; i < tile.rows; ++i) {
      const auto first = static_cast<float>(chain.s.get(tile.row + i, 0));
      for (int64_t j = 0; j < tile.columns; ++j) tile.data[i * tile.ld + j] += first;
    }
    store_tile(&chain.store_y, table, tile);
  }

  std::vector<uint8_t> run(bool together, int threads) {
    const int count = together ? 2 : 1;
    std::vector<char> memory(
        static_cast<size_t>(gemm_workspace_bytes(*kernels(), kF32, threads, count) + 64));
    gemm(*kernels(), sequence, count, aligned(memory), threads);
    if (!together) {
      sequence[1].needs = 0;
      gemm(*kernels(), sequence[1], aligned(memory), threads);
    }
    return y.bytes;
  }
};

}  // namespace

TEST(a_product_waits_for_those_it_needs) {
  for (auto reads :
       {Chain::Reads::kFirstSegment, Chain::Reads::kSecondSegment, Chain::Reads::kEpilogue}) {
    const std::vector<uint8_t> expected = Chain(reads).run(false, 1);
    for (int threads : {1, 2, 3, 7}) {
      for (int i = 0; i < 5; ++i) CHECK(Chain(reads).run(true, threads) == expected);
    }
  }
}

// The first product writes what the second adds to, in place.
TEST(an_output_waits_for_what_it_adds_to) {
  for (int threads : {1, 2, 3, 7}) {
    for (int i = 0; i < 5; ++i) {
      Chain chain(Chain::Reads::kFirstSegment);
      StoreEpilogue first, second;
      first.out = second.out = chain.y.view3();
      second.accumulate = true;
      const Gemm sequence[] = {{Chain::kRows, Chain::kColumns, kF32, &chain.y_segments[0], 1,
                                Chain::store_slowly, &first},
                               {Chain::kRows, Chain::kColumns, kF32, &chain.y_segments[0], 1,
                                store_tile, &second, 1, 1}};
      std::vector<char> memory(
          static_cast<size_t>(gemm_workspace_bytes(*kernels(), kF32, threads, 2) + 64));
      gemm(*kernels(), sequence, 2, aligned(memory), threads);
      TestTensor once(kF32, 1, Chain::kRows, Chain::kColumns);
      first.out = once.view3();
      gemm(*kernels(), sequence[0], aligned(memory), threads);
      for (int64_t row = 0; row < Chain::kRows; ++row) {
        for (int64_t j = 0; j < Chain::kColumns; ++j) {
          CHECK_EQ(chain.y.get(row, j), 2 * once.get(row, j));
        }
      }
    }
  }
}

TEST(b_is_packed_again_where_it_changes) {
  const Case c{700, 560, 30, true, true, kF32, kF32, kF32};
  TestTensor a = make(kF32, true, c.m, c.k, 26), b = make(kF32, true, c.n, c.k, 27);
  TestTensor other = make(kF32, true, c.n, c.k, 28);
  Run first(c), second(c);
  StoreEpilogue to_first, to_second;
  to_first.out = first.out.view3(), to_second.out = second.out.view3();
  const KSegment segments[] = {
      {operand(a.view2(), true), operand(b.view2(), true), c.k, nullptr},
      {operand(a.view2(), true), operand(other.view2(), true), c.k, nullptr}};
  const Gemm sequence[] = {{c.m, c.n, kF32, &segments[0], 1, store_tile, &to_first},
                           {c.m, c.n, kF32, &segments[1], 1, store_tile, &to_second}};
  std::vector<char> memory(static_cast<size_t>(gemm_workspace_bytes(*kernels(), kF32, 2, 2) + 64));
  const std::vector<double> expected = reference(a, b, c), after = reference(a, other, c);
  for (int threads : {1, 2}) {
    gemm(*kernels(), sequence, 2, aligned(memory), threads);
    CHECK_LE(relative_error(first.out.values(), expected), kTolerance);
    CHECK_LE(relative_error(second.out.values(), after), kTolerance);
  }
}

TEST_MAIN_IF(sightline::cpu::isa_skip_reason())
