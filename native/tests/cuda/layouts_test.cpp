// Index maps of the GEMM kernels against their definitions in the PTX ISA, element by element.
#include <array>
#include <set>
#include <vector>

#include "cuda/gemm/cost.h"
#include "cuda/gemm/descriptor.h"
#include "cuda/gemm/fragments.h"
#include "cuda/gemm/raster.h"
#include "cuda/gemm/swizzle.h"
#include "harness.h"

using namespace sightline;
using namespace sightline::cuda;

namespace {

// Shared memory has 32 banks of 4 bytes; a phase of eight lanes that access 16 bytes each is free
// of conflicts if it touches every bank once.
bool conflict_free(const std::vector<uint32_t>& addresses) {
  std::set<uint32_t> banks;
  for (uint32_t address : addresses) banks.insert(address / 16 % 8);
  return banks.size() == addresses.size();
}

}  // namespace

TEST(swizzled_rows_are_those_of_tma) {
  for (uint32_t row = 0; row < 256; ++row) {
    for (uint32_t chunk = 0; chunk < 8; ++chunk) {
      const uint32_t plain = row * 128 + chunk * 16;
      // CUDA programming guide: address bits 4-6 are exchanged with their exclusive or with bits
      // 7-9.
      const uint32_t bits = ((plain >> 4) & 7) ^ ((plain >> 7) & 7);
      const uint32_t expected = (plain & ~0x70u) | bits << 4;
      CHECK_EQ(swizzled_chunk<128>(row, chunk), expected);
      CHECK_EQ(swizzle_128b(plain), expected);
    }
  }
}

TEST(swizzles_are_permutations) {
  std::set<uint32_t> narrow, wide, staged, element;
  for (uint32_t row = 0; row < 64; ++row) {
    for (uint32_t chunk = 0; chunk < 8; ++chunk) narrow.insert(swizzled_chunk<128>(row, chunk));
    for (uint32_t chunk = 0; chunk < 16; ++chunk) {
      wide.insert(swizzled_chunk<256>(row, chunk));
      staged.insert(staged_chunk<64>(row, chunk));
      element.insert(element_chunk<256>(row, chunk));
    }
  }
  CHECK_EQ(narrow.size(), 64u * 8);
  CHECK_EQ(wide.size(), 64u * 16);
  CHECK_EQ(staged.size(), 64u * 16);
  CHECK_EQ(element.size(), 64u * 16);
  CHECK_EQ(*narrow.rbegin(), 64u * 128 - 16);
  CHECK_EQ(*wide.rbegin(), 64u * 256 - 16);
  CHECK_EQ(*staged.rbegin(), 64u * 256 - 16);
  CHECK_EQ(*element.rbegin(), 64u * 256 - 16);
}

TEST(matrix_loads_meet_no_bank_conflicts) {
  for (int kk = 0; kk < 4; ++kk) {
    for (int start = 0; start < 128; start += 16) {
      for (int matrix = 0; matrix < 4; ++matrix) {
        std::array<std::vector<uint32_t>, 4> phases;
        for (int lane = 8 * matrix; lane < 8 * matrix + 8; ++lane) {
          const MatrixRow ak = a_k_major(lane, start, kk), bk = b_k_major(lane, start, kk);
          const MatrixRow am = a_mn_major(lane, start, kk), bm = b_mn_major(lane, start, kk);
          phases[0].push_back(swizzled_chunk<128>(ak.row, ak.chunk));
          phases[1].push_back(swizzled_chunk<128>(bk.row, bk.chunk));
          phases[2].push_back(swizzled_chunk<256>(am.row, am.chunk));
          phases[3].push_back(swizzled_chunk<256>(bm.row, bm.chunk));
        }
        for (const auto& phase : phases) CHECK(conflict_free(phase));
      }
    }
  }
}

// ldmatrix gives lane l of matrix q row l / 4, columns 2 (l % 4) and + 1 of the eight stored rows
// that lanes 8q.. address (their transpose with .trans). Register q must be the mma fragment's.
TEST(matrix_loads_give_the_fragments) {
  for (int kk = 0; kk < 4; ++kk) {
    for (int lane = 0; lane < 32; ++lane) {
      for (int q = 0; q < 4; ++q) {
        for (int e = 0; e < 2; ++e) {
          const int r = lane / 4, c = 2 * (lane % 4) + e;
          // A: (m, k).
          const Position a = mma_a(lane, q, e);
          const MatrixRow ak = a_k_major(8 * q + r, 32, kk);
          CHECK_EQ(ak.row, 32 + a.row);
          CHECK_EQ(ak.chunk * 8 + c, 16 * kk + a.column);
          const MatrixRow am = a_mn_major(8 * q + c, 32, kk);
          CHECK_EQ(am.row, 16 * kk + a.column);
          CHECK_EQ(am.chunk * 8 + r, 32 + a.row);
          // B: (k, n); registers 2 and 3 are those of the next eight columns.
          const Position b = mma_b(lane, q % 2, e);
          const MatrixRow bk = b_k_major(8 * q + r, 32, kk);
          CHECK_EQ(bk.row, 32 + 8 * (q / 2) + b.column);
          CHECK_EQ(bk.chunk * 8 + c, 16 * kk + b.row);
          const MatrixRow bm = b_mn_major(8 * q + c, 32, kk);
          CHECK_EQ(bm.row, 16 * kk + b.row);
          CHECK_EQ(bm.chunk * 8 + r, 32 + 8 * (q / 2) + b.column);
        }
      }
    }
  }
}

// fp32: K-major by ldmatrix, which gives lane l of matrix q row l / 4 and word l % 4; MN-major word
// by word. PTX ISA, m16n8k8 with .tf32: a0 (g, t), a1 (g + 8, t), a2 (g, t + 4), a3 (g + 8, t + 4);
// b0 (t, g), b1 (t + 4, g), as (row, column) with g = lane / 4, t = lane % 4.
TEST(tf32_loads_give_the_fragments) {
  constexpr Position kA[] = {{0, 0}, {8, 0}, {0, 4}, {8, 4}}, kB[] = {{0, 0}, {4, 0}};
  for (int kk = 0; kk < 4; ++kk) {
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4, t = lane % 4;
      for (int q = 0; q < 4; ++q) {
        const Position a = tf32_a(lane, q), b = tf32_b(lane, q % 2);
        CHECK_EQ(a.row, kA[q].row + g);
        CHECK_EQ(a.column, kA[q].column + t);
        CHECK_EQ(b.row, kB[q % 2].row + t);
        CHECK_EQ(b.column, g);
        const MatrixRow ak = a_k_major(8 * q + g, 32, kk), bk = b_k_major(8 * q + g, 32, kk);
        CHECK_EQ(ak.row, 32 + a.row);
        CHECK_EQ(ak.chunk * 4 + t, 8 * kk + a.column);
        CHECK_EQ(bk.row, 32 + 8 * (q / 2) + b.column);
        CHECK_EQ(bk.chunk * 4 + t, 8 * kk + b.row);
      }
    }
  }
}

TEST(tf32_words_meet_no_bank_conflicts) {
  const auto word = [](int k, int column) {
    return element_chunk<512>(k, column / 4) / 4 + column % 4;
  };
  for (int kk = 0; kk < 4; ++kk) {
    for (int start = 0; start < 128; start += 16) {
      for (int q = 0; q < 4; ++q) {
        std::set<uint32_t> a_banks, b_banks;
        for (int lane = 0; lane < 32; ++lane) {
          const Position a = tf32_a(lane, q), b = tf32_b(lane, q % 2);
          a_banks.insert(word(8 * kk + a.column, start + a.row) % 32);
          b_banks.insert(word(8 * kk + b.row, start + b.column + 8 * (q / 2)) % 32);
        }
        CHECK_EQ(a_banks.size(), 32u);
        CHECK_EQ(b_banks.size(), 32u);
      }
    }
  }
}

TEST(accumulators_cover_the_tile_once) {
  std::set<std::pair<int, int>> warp, warpgroup;
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const Position at = mma_accumulator(lane, i);
      warp.insert({at.row, at.column});
    }
  }
  CHECK_EQ(warp.size(), 16u * 8);
  for (int thread = 0; thread < 128; ++thread) {
    for (int i = 0; i < 128; ++i) {
      const Position at = wgmma_accumulator(thread, i);
      warpgroup.insert({at.row, at.column});
      // Registers come in pairs of neighbours; four registers are two rows of one group of columns.
      const Position base = wgmma_accumulator(thread, 0);
      CHECK_EQ(at.row, base.row + 8 * (i / 2 % 2));
      CHECK_EQ(at.column, base.column + 8 * (i / 4) + i % 2);
    }
  }
  CHECK_EQ(warpgroup.size(), 64u * 256);
  CHECK_EQ(warpgroup.rbegin()->first, 63);
}

TEST(staging_meets_no_bank_conflicts) {
  // Writes of 8 bytes: half a warp a phase, all 32 banks.
  for (int thread = 0; thread < 128; thread += 16) {
    for (int i = 0; i < 32; i += 2) {
      std::set<uint32_t> banks;
      for (int lane = thread; lane < thread + 16; ++lane) {
        const Position at = wgmma_accumulator(lane, i);
        const uint32_t address = staged_chunk<64>(at.row, at.column / 4) + at.column % 4 * 4;
        banks.insert(address / 8 % 16);
      }
      CHECK_EQ(banks.size(), 16u);
    }
  }
  // Reads of 16 bytes: eight lanes of one row; the upper four take their halves in reverse order.
  for (uint32_t row = 0; row < 64; ++row) {
    for (uint32_t half = 0; half < 2; ++half) {
      std::vector<uint32_t> phase;
      for (uint32_t group = 0; group < 8; ++group) {
        phase.push_back(staged_chunk<64>(row, 2 * group + (half ^ (group >> 2 & 1))));
      }
      CHECK(conflict_free(phase));
    }
  }
}

TEST(descriptors_have_the_documented_fields) {
  const auto field = [](uint64_t d, int from, int bits) {
    return static_cast<uint32_t>(d >> from & ((uint64_t{1} << bits) - 1));
  };
  for (uint32_t address = 1024; address < 232448; address += 1024) {
    const uint64_t k = tile_descriptor<Major::kK>(address),
                   mn = tile_descriptor<Major::kMN>(address);
    for (uint64_t d : {k, mn}) {
      CHECK_EQ(field(d, 0, 14), address / 16);
      CHECK_EQ(field(d, 32, 14), 1024u / 16);  // eight rows of 128 bytes
      CHECK_EQ(field(d, 49, 3), 0u);
      CHECK_EQ(field(d, 62, 2), 1u);
      CHECK_EQ(field(d, 14, 2) | field(d, 30, 2) | field(d, 46, 3) | field(d, 52, 10), 0u);
    }
    CHECK_EQ(field(k, 16, 14), 1u);
    CHECK_EQ(field(mn, 16, 14), 8192u / 16);  // the next 64 columns
    // The four k-steps of a stage change the address field alone.
    CHECK_EQ(k + 3 * kDescriptorStep<Major::kK>, tile_descriptor<Major::kK>(address) + 96 / 16);
    CHECK_EQ((mn + 3 * kDescriptorStep<Major::kMN>) >> 16, mn >> 16);
    CHECK_EQ(field(mn + 3 * kDescriptorStep<Major::kMN>, 0, 14), (address + 48 * 128) / 16);
  }
}

// What TMA writes for element (row, k) of a stage is what wgmma reads for it.
TEST(descriptors_meet_the_copies) {
  for (int k = 0; k < 64; ++k) {
    for (int row = 0; row < 256; ++row) {
      // K-major: a box row is 64 k. wgmma: start + (k / 16) step, then its own row and column.
      const uint32_t written = swizzle_128b(static_cast<uint32_t>(row * 128 + k * 2));
      const uint32_t start = static_cast<uint32_t>(kDescriptorStep<Major::kK> * 16 * (k / 16));
      CHECK_EQ(swizzle_128b(start + row / 8 * 1024 + row % 8 * 128 + k % 16 * 2), written);
      // MN-major: boxes of 64 columns by 64 k, one after the other.
      const uint32_t box = static_cast<uint32_t>(row / 64 * 8192 + k * 128 + row % 64 * 2);
      const uint32_t start_mn = static_cast<uint32_t>(kDescriptorStep<Major::kMN> * 16 * (k / 16));
      CHECK_EQ(
          swizzle_128b(start_mn + row / 64 * 8192 + k % 16 / 8 * 1024 + k % 8 * 128 + row % 64 * 2),
          swizzle_128b(box));
    }
  }
}

TEST(raster_visits_every_tile_once) {
  for (int tiles_m : {1, 7, 8, 9, 16, 33}) {
    for (int tiles_n : {1, 4, 5}) {
      std::set<std::pair<int, int>> seen;
      for (int i = 0; i < tiles_m * tiles_n; ++i) {
        const TileIndex tile = raster(i, tiles_m, tiles_n);
        CHECK(tile.m >= 0 && tile.m < tiles_m && tile.n >= 0 && tile.n < tiles_n);
        seen.insert({tile.m, tile.n});
      }
      CHECK_EQ(static_cast<int>(seen.size()), tiles_m * tiles_n);
    }
  }
  // 66 pairs in flight share few rows and columns: the operands' traffic is that of 8 + 9 tiles.
  std::set<int> rows, columns;
  for (int i = 0; i < 66; ++i) {
    rows.insert(raster(i, 16, 16).m);
    columns.insert(raster(i, 16, 16).n);
  }
  CHECK_EQ(rows.size(), 8u);
  CHECK_EQ(columns.size(), 9u);
}

// On 132 multiprocessors: full waves of the wide tile where they exist, the narrow one where the
// wide one would leave half of the chip idle.
TEST(tiles_are_picked_by_waves) {
  const auto columns = [](int m, int n, int k) { return pick_hopper_tile(m, n, k, 132).columns; };
  for (int m : {2048, 4096}) {
    CHECK_EQ(columns(m, 2048, 4096), 256);
    CHECK_EQ(columns(m, 2048, 2048), 256);
    CHECK_EQ(columns(m, 2048, 1024), 256);
    CHECK_EQ(columns(m, 4096, 2048), 256);
  }
  CHECK_EQ(columns(4096, 1024, 2048), 256);
  CHECK_EQ(columns(2048, 1024, 2048), 128);
  CHECK_EQ(columns(256, 128, 192), 128);
  CHECK_EQ(k_block_clocks(256), 1024);
  CHECK_EQ(k_block_clocks(128), 640);
}

TEST_MAIN()
