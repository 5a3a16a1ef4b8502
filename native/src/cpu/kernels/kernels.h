// The functions that exist once per instruction set, as tables of pointers. Coarse-grained on
// purpose: one call does a panel, a row or a cache block. Each table lives in an object file of its
// own (kernels_<isa>.cpp) that instantiates the templates *.inc over that ISA's traits.
//
// "Row" arguments named x, y, acc... are fp32 scratch rows of this library, readable and writable
// up to a multiple of kRowPad elements, any alignment; their padding is computed like the rest and
// ignored. Arguments with a DType are the user's: exactly n elements are touched.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/views.h"

namespace sightline {

enum class Isa : uint8_t { kGeneric, kAvx2, kAvx512, kAvx512Bf16 };

constexpr int64_t kRowPad = 16;  // widest vector, in fp32 elements

// Matrix products of one compute type. A is packed in panels of `mr` rows, B in panels of `nr`
// columns; inside a panel k runs outermost, `k_group` consecutive k of one row or column lie
// together:
//   panel[k / k_group][row or column][k % k_group],   elements fp32, or bf16 where k_group == 2.
// Missing rows, columns and k are zeros. bf16 compute without bf16 hardware holds bf16-rounded
// values as fp32: the same products, exact, and the same fp32 sums.
struct GemmKernels {
  int mr, nr;        // register tile
  int k_group;       // 1, or 2: pairs for a bf16 dot product (VNNI layout)
  int element_size;  // bytes of a packed element

  // Packs one panel of `width` (mr or nr) lanes from `count` <= width lanes, each a contiguous run
  // of k elements: lanes[i][0..k). May write up to kRowPad elements of 4 bytes past the panel's
  // end.
  void (*pack_lanes)(void* panel, int width, const void* const* lanes, int count, int64_t k,
                     DType dtype);
  // Packs one panel from k runs of `count` <= width contiguous elements, one for each k:
  // steps[j][first .. first + count). Each may be read up to element `readable` >= first + count.
  // Writes nothing past the end, so that a panel can be packed in pieces of k (whole k groups).
  void (*pack_steps)(void* panel, int width, const void* const* steps, int64_t first, int count,
                     int64_t readable, int64_t k, DType dtype);
  // c[m,n] (+)= a b over k, whole panels: m and n are rounded up to mr and nr and c, row stride
  // ldc, has room for that. a: m/mr panels `a_stride` bytes apart; b: n/nr panels `b_stride` bytes
  // apart.
  void (*multiply)(int64_t m, int64_t n, int64_t k, const void* a, int64_t a_stride, const void* b,
                   int64_t b_stride, float* c, int64_t ldc, bool accumulate);
  // The same product, bit for bit, of m rows of A that are read where they lie: rows[i][0..k) fp32.
  // For few columns, where packing A costs more than the strided reads. Null where operands are
  // converted, or where the tile has more rows than there are address registers.
  void (*multiply_rows)(int64_t m, int64_t n, int64_t k, const float* const* rows, const void* b,
                        int64_t b_stride, float* c, int64_t ldc, bool accumulate);
};

struct RowKernels {
  // y[0..n) = x[0..n) as fp32; y's padding up to kRowPad is zeroed.
  void (*load)(float* y, const void* x, DType dtype, int64_t n);
  // out[0..n) (+)= scale * x + bias, rounded once to out's dtype; bias may be null.
  void (*store)(void* out, DType dtype, const float* x, int64_t n, float scale, const void* bias,
                DType bias_dtype, bool accumulate);
  // y += x
  void (*add)(float* y, const float* x, int64_t n);
  // Mean and population variance of x, two passes, fp64 sums.
  void (*moments)(const float* x, int64_t n, double* mean, double* variance);
  // y = ((x - mean_high) - mean_low) * rstd
  void (*normalize)(float* y, const float* x, int64_t n, float mean_high, float mean_low,
                    float rstd);
  // y = silu(x + bias), relative error below 1e-6; slope = silu'(x + bias) unless it is null. The
  // two share their exponential. slope may be x.
  void (*silu)(float* y, float* slope, const float* x, const float* bias, int64_t n);
  // y *= x
  void (*multiply)(float* y, const float* x, int64_t n);
  // fp64 sums of x*y over n, fixed order
  double (*dot)(const float* x, const float* y, int64_t n);
  // The three dot products of a cosine, each as dot() gives it.
  void (*cosine_sums)(const float* x, const float* y, int64_t n, double* xx, double* yy,
                      double* xy);
  // y = alpha * x0 + beta * x1 in fp64, rounded once
  void (*combine)(float* y, double alpha, const float* x0, double beta, const float* x1, int64_t n);
  // y = rstd * (g - k1 - xhat * k2), xhat = ((x - mean_high) - mean_low) * rstd, k1 and k2 the
  // means of g and of g xhat, summed in fp64.
  void (*layer_norm_backward)(float* y, const float* g, const float* x, int64_t n, float mean_high,
                              float mean_low, float rstd);
  // x[0..n) *= keep ? 1/(1-p) : 0, keep drawn for (seed, stream, row, column .. column+n), see
  // common/philox.h.
  void (*dropout)(float* x, int64_t n, uint64_t seed, uint32_t stream, uint64_t row,
                  uint64_t column, float p);
};

struct Kernels {
  Isa isa;
  const char* name;  // as in SIGHTLINE_ISA
  bool native_bf16;  // bf16 products run on bf16 hardware
  GemmKernels fp32, bf16;
  RowKernels row;

  const GemmKernels& gemm(DType compute) const { return compute == DType::kFloat32 ? fp32 : bf16; }
};

}  // namespace sightline
