// The alignment chain's third product with the cosine inside (epilogue/cosine.h has the formulas).
#pragma once

#include "cuda/alignment/epilogues.cuh"
#include "cuda/math/cosine.h"

namespace sightline::cuda {

// What the cosine of a row leaves behind.
struct CosineOutputs {
  const float* token_weight;  // or null: 1
  uint32_t weight_rows;       // tokens per batch of token_weight and cosine
  int64_t weight_stride;
  float* cosine;  // or null
  int64_t cosine_stride;
  float* weighted;  // [all tokens]: m c, summed into the loss
  int64_t first_row;

  SL_DEVICE float weight(int row) const {
    if (token_weight == nullptr) return 1.f;
    const uint32_t i = static_cast<uint32_t>(first_row + row), batch = i / weight_rows;
    return token_weight[batch * weight_stride + (i - batch * weight_rows)];
  }
  SL_DEVICE void write(int row, float m, float c) const {
    const uint32_t i = static_cast<uint32_t>(first_row + row), batch = i / weight_rows;
    // A token of weight 0 leaves the loss alone, whatever its cosine.
    weighted[i] = m * c;
    if (cosine != nullptr) cosine[batch * cosine_stride + (i - batch * weight_rows)] = c;
  }
};

// Third product, cosine and dz in one kernel: z = acc + bias never leaves the chip.
//   First: sums z.z, z.t, t.t over the columns.   Second: dz = dz_t t + dz_z z.
// The gradient is that of -m c; 1 / sum(m) and the upstream factor come in at the end of the chain,
// which keeps fp16 in range.
template <class T>
struct CosineEpilogue {
  struct Params {
    T* dz;  // or null: the loss alone
    int64_t stride;
    const float* bias;
    UserRows teacher;
    CosineOutputs outputs;
  };

  static constexpr int kTileOutputs = 1;
  static constexpr bool kTileInput = true;

  template <class Element>
  static EpilogueTiles tiles(const Params& p, int m, int n) {
    const int64_t first = p.outputs.first_row;
    return {tiles_reach(p.teacher, kDType<Element>, first, m, n),
            operand_of(p.teacher, first),
            {matrix(p.dz, p.stride), {}}};
  }

  static SL_DEVICE void read_teacher(const Params& p, int row, int column, float (&t)[8]) {
    p.teacher.load(static_cast<uint32_t>(p.outputs.first_row + row), column, t);
  }

  struct Part {
    using Params = CosineEpilogue::Params;
    using Columns = BiasColumns<8>;
    template <int kCount = 8>
    static SL_DEVICE BiasColumns<kCount> columns(const Params& p, int column) {
      return bias_columns<kCount>(p.bias, column);
    }
    static constexpr int kTileOutputs = 1;
    static constexpr bool kTileInput = true;
  };

  struct First : Part {
    static constexpr bool kRowConstants = false;
    static constexpr int kRowSums = 3;
    template <int kCount>
    static SL_DEVICE void elements(const Params&, const BiasColumns<kCount>& c, const float4&,
                                   const float (&t)[kCount], float (&x)[kCount], RowSums& sums) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        const float z = x[i] + c.bias[i];
        sums.value[0] = fmaf(z, z, sums.value[0]);
        sums.value[1] = fmaf(z, t[i], sums.value[1]);
        sums.value[2] = fmaf(t[i], t[i], sums.value[2]);
      }
    }
    static SL_DEVICE void apply(const Params& p, int row, int column,
                                const typename Part::Columns& c, const float4& constants,
                                float (&x)[8], RowSums& sums) {
      float t[8];
      read_teacher(p, row, column, t);
      elements(p, c, constants, t, x, sums);
    }
  };

  struct Second : Part {
    static constexpr bool kRowConstants = true;  // filled by combine()
    static constexpr int kRowSums = 0;
    template <int kCount>
    static SL_DEVICE void elements(const Params&, const BiasColumns<kCount>& c,
                                   const float4& constants, const float (&t)[kCount],
                                   float (&x)[kCount], RowSums&) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        x[i] = fmaf(constants.x, t[i], constants.y * (x[i] + c.bias[i]));
      }
    }
    static SL_DEVICE void apply(const Params& p, int row, int column,
                                const typename Part::Columns& c, const float4& constants,
                                float (&x)[8], RowSums& sums) {
      if (p.dz == nullptr) return;
      float t[8];
      read_teacher(p, row, column, t);
      elements(p, c, constants, t, x, sums);
      store8(p.dz + row * p.stride + column, x);
    }
  };

  static SL_DEVICE float4 combine(const Params& p, int row, const float4& sums, bool writer) {
    const float m = p.outputs.weight(row);
    const CosineRow c = cosine_row(sums.x, sums.y, sums.z, m);
    if (writer) p.outputs.write(row, m, c.cosine);
    return make_float4(c.dz_t, c.dz_z, 0.f, 0.f);
  }
};

}  // namespace sightline::cuda
