// Epilogues on accumulators where wgmma leaves them, in pairs of neighbouring columns, with results
// that leave as 16-bit tiles through TMA. Traffic of shared memory and L1 for a tile of
// 128 x 256 and one 16-bit output, in clocks of 128 bytes:
//   row epilogue       fp32 staging written 1024 + read 1024, rows stored 512       2560
//   rows, then a 16-bit staging tile for TMA                            2560 + 512 *
//   fragments          stmatrix 512, columns' values 2 x 256                        1024 + 512 *
//   (* TMA's reads, under the next subtile or the next tile)
// so only fragments are worth a second way out. A matrix that the epilogue reads (a saved
// pre-activation, h) comes the same way, as a tile through ldmatrix: loading it by rows exposes the
// latency of L2 sixteen times a tile, more clocks than all of the above.
//
// Such an epilogue has, besides what row_epilogue.cuh asks for:
//   kTileInput                        whether it reads a matrix of the product's shape
//   kTileOutputs                      1, or 2: the second a function of the first as rounded
//   tiles<T>(p, m, n) -> EpilogueTiles     on the host; an output without data: none is stored
//   columns<2>(p, column)             what columns(p, column) gives, for two columns
//   elements<kCount>(p, columns, constants, in, x, sums)   neighbours of one row: x from
//                                     accumulator to result, `in` from the input matrix
//   second(x) -> float                an element of the second output
// Elements past column n of a tile have zeros for accumulator, columns and input: they must leave
// the sums alone.
#pragma once

#include <utility>

#include "cuda/gemm/fragments.h"
#include "cuda/gemm/row_epilogue.cuh"
#include "cuda/tensor/operand.h"
#include "cuda/tensor/vector8.h"

namespace sightline::cuda {

// Where TMA finds the epilogue's matrices of 16-bit elements; not reachable: by rows.
struct EpilogueTiles {
  bool reachable = false;
  Operand input;
  Operand output[2];
};

template <class Epilogue>
concept HasTiles = requires {
  Epilogue::kTileOutputs;
};

constexpr int kSubtileM = 64, kSubtileN = 64;  // of one staged tile: rows of 128 bytes

// One thread's part of a warpgroup's 64 rows: rows g and g + 8 of its warp's 16 (g = lane / 4),
// columns 2 (lane % 4) and + 1 of every eight.
template <class T, class Epilogue>
struct FragmentEpilogue {
  using Params = typename Epilogue::Params;
  using Columns = decltype(Epilogue::template columns<2>(std::declval<const Params&>(), 0));

  float4 constants[2];
  RowSums sums[2];
  Columns columns[kSubtileN / 8];  // of the subtile at hand

  // first_row: row g of the product.
  SL_DEVICE void begin(const Params& p, int first_row, int m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + 8 * half;
      sums[half] = {};
      constants[half] = make_float4(0.f, 0.f, 0.f, 0.f);
      if constexpr (Epilogue::kRowConstants) {
        if (row < m) constants[half] = Epilogue::row_constants(p, row);
      }
    }
  }

  // first_column: of the subtile, plus 2 (lane % 4). n is a multiple of 8.
  SL_DEVICE void load_columns(const Params& p, int first_column, int n) {
#pragma unroll
    for (int i = 0; i < kSubtileN / 8; ++i) {
      columns[i] = {};
      const int column = first_column + 8 * i;
      if (column < n) columns[i] = Epilogue::template columns<2>(p, column);
    }
  }

  // Columns 16 kk .. 16 kk + 15 of the subtile: eight accumulators, as four words in and out.
  SL_DEVICE void apply(const Params& p, int kk, const float* d, const uint32_t (&in)[4],
                       uint32_t (&out)[4]) {
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      const int half = q & 1;
      float x[2] = {d[2 * q], d[2 * q + 1]}, read[2];
      unpack2<T>(in[q], read[0], read[1]);
      Epilogue::elements(p, columns[2 * kk + (q >> 1)], constants[half], read, x, sums[half]);
      out[q] = pack2<T>(x[0], x[1]);
    }
  }

  static SL_DEVICE void second(uint32_t (&words)[4]) {
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      float x[2];
      unpack2<T>(words[q], x[0], x[1]);
      words[q] = pack2<T>(Epilogue::second(x[0]), Epilogue::second(x[1]));
    }
  }

  // The four lanes of a row add up their columns, always in the same order.
  SL_DEVICE float4 total(int half) {
#pragma unroll
    for (int i = 0; i < Epilogue::kRowSums; ++i) {
      float& sum = sums[half].value[i];
      sum += ptx::shuffle_xor(sum, 1);
      sum += ptx::shuffle_xor(sum, 2);
    }
    return make_float4(sums[half].value[0], sums[half].value[1], sums[half].value[2], 0.f);
  }

  SL_DEVICE void finish(const Params& p, int first_row, int m, int tile_n, int lane) {
    if constexpr (Epilogue::kRowSums > 0) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = first_row + 8 * half;
        const float4 row_sums = total(half);
        if (lane % 4 == 0 && row < m) Epilogue::finish_row(p, row, tile_n, row_sums);
      }
    }
  }
};

}  // namespace sightline::cuda
