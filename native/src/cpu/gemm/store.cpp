// The usual epilogue of gemm.h: from a tile in scratch to rows of the output.
#include "cpu/gemm/gemm.h"

namespace sightline::cpu {

void store_tile(const void* user, const Kernels& kernels, const GemmTile& tile) {
  const auto& store = *static_cast<const StoreEpilogue*>(user);
  // The hardware's prefetchers lose rows that are this short.
  constexpr int64_t kAhead = 2, kLine = 64;
  const int64_t bytes = tile.columns * element_size(store.out.dtype);
  const void* bias = store.bias ? store.bias.at(0, tile.column) : nullptr;
  for (int64_t i = 0; i < tile.rows; ++i) {
    if (i + kAhead < tile.rows) {
      const char* next = store.out.at(tile.row + i + kAhead, tile.column);
      for (int64_t at = 0; at < bytes; at += kLine) __builtin_prefetch(next + at, 1);
    }
    kernels.row.store(store.out.at(tile.row + i, tile.column), store.out.dtype,
                      tile.data + i * tile.ld, tile.columns, store.scale, bias, store.bias.dtype,
                      store.accumulate);
  }
}

}  // namespace sightline::cpu
