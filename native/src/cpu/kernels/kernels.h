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

#include "common/activation.h"
#include "common/views.h"

namespace sightline::cpu {

enum class Isa : uint8_t { kGeneric, kAvx2, kAvx512, kAvx512Bf16 };

constexpr int64_t kRowPad = 16;  // widest vector, in fp32 elements

// How a micro-panel of A lies in memory, in k-groups: one fp32 element, or a pair of bf16 ones.
//   kVectors  panel[group / width][row][group % width], width that of a vector: rows that lie along
//             k are copied, not transposed
//   kColumns  panel[group][row], as B's micro-panels: for an A whose rows lie across k
enum class ALayout : uint8_t { kVectors, kColumns };

// Memory that is wanted soon. While a product runs it asks for a few lines at a time, so that what
// comes from far away comes meanwhile.
struct MemoryRun {
  const void* data;
  int64_t bytes;
};
struct Prefetch {
  const MemoryRun* runs = nullptr;
  int count = 0;
};

// Matrix products of one compute type. A is packed in micro-panels of `mr` rows, B in micro-panels
// of `nr` columns; inside a panel of B k runs outermost, `k_group` consecutive k of one column lie
// together:
//   panel[k / k_group][column][k % k_group],   elements fp32, or bf16 where k_group == 2.
// Missing rows and columns, and missing k of a group, are zeros. bf16 compute without bf16 hardware
// holds bf16-rounded values as fp32: the same products, exact, and the same fp32 sums.
struct GemmKernels {
  int mr, nr;        // register tile
  int width;         // k-groups of one row that lie together in ALayout::kVectors
  int k_group;       // 1, or 2: pairs for a bf16 dot product (VNNI layout)
  int element_size;  // bytes of a packed element
  // A block of A (mc x kc) stays in L2; a tile of C has at most nc columns.
  int64_t mc, nc;

  // Packs one panel of A as kVectors from `count` <= mr rows of k contiguous elements:
  // rows[i][0..k). The last vectors are filled up with zeros.
  void (*pack_rows)(void* panel, const void* const* rows, int count, int64_t k, DType dtype);
  // Packs one panel of B from `count` <= nr columns of k contiguous elements: columns[i][0..k).
  void (*pack_columns)(void* panel, const void* const* columns, int count, int64_t k, DType dtype);
  // Packs one panel of B, or of A as kColumns, of `width` (nr or mr) columns of it from `count`
  // <= width contiguous elements for each k: steps[j][first .. first + count). Each may be read
  // up to element `readable` >= first + count. Writes nothing past the end, so that a panel can be
  // packed in pieces of k (whole k groups).
  void (*pack_steps)(void* panel, int width, const void* const* steps, int64_t first, int count,
                     int64_t readable, int64_t k, DType dtype);
  // c[m,n] (+)= a b over k; c has row stride ldc. a: m/mr panels `a_stride` bytes apart; b: n/nr
  // panels `b_stride` bytes apart. Both layouts give the same bits. `prefetch` is asked for once,
  // or, if it has no rows, each next panel of b.
  void (*multiply)(int64_t m, int64_t n, int64_t k, ALayout layout, const void* a, int64_t a_stride,
                   const void* b, int64_t b_stride, float* c, int64_t ldc, bool accumulate,
                   const Prefetch& prefetch);
  // The same product, bit for bit, of m rows of A that are read where they lie: rows[i][0..k), of
  // the compute type. For few columns, where packing A costs more than the strided reads. Null
  // where k-groups are pairs, or where the tile has more rows than there are address registers.
  void (*multiply_rows)(int64_t m, int64_t n, int64_t k, const void* const* rows, DType dtype,
                        const void* b, int64_t b_stride, float* c, int64_t ldc, bool accumulate);
};

// y = act(x + bias), error below 1e-6 (|y| + 1e-5), of SiLU below 1e-6 |y|; slope = act'(x + bias) unless it is null. The two
// share their exponential. slope may be x.
using Activate = void (*)(float* y, float* slope, const float* x, const float* bias, int64_t n);

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
  // By Activation, see activations.inc.
  Activate activate[kActivations];
  // y *= x
  void (*multiply)(float* y, const float* x, int64_t n);
  // fp64 sums of x*y over n, fixed order
  double (*dot)(const float* x, const float* y, int64_t n);
  // The three dot products of a cosine, each as dot() gives it.
  void (*cosine_sums)(const float* x, const float* y, int64_t n, double* xx, double* yy,
                      double* xy);
  // y = alpha * x0 + beta * x1 in fp64, rounded once
  void (*combine)(float* y, double alpha, const float* x0, double beta, const float* x1, int64_t n);
  // g = min(max(d / beta, -1), 1), NaN where d is not finite, d = a x - b y; returns the sum of d^2 / 2 beta where |d| < beta,
  // else of |d| - beta / 2. d and the sum are fp64. g may be y.
  double (*smooth_l1)(float* g, const float* x, const float* y, double a, double b, double beta,
                      int64_t n);
  // sums[0..n) += x, or, with a mean, (x - mean)^2
  void (*add_powers)(double* sums, const float* x, const double* mean, int64_t n);
  // y = (x - mean) * inverse, all of n elements
  void (*standardize)(float* y, const float* x, const float* mean, const float* inverse, int64_t n);
  // The largest element; -infinity where there is none. NaN does not count.
  float (*largest)(const float* x, int64_t n);
  // y = exp(scale * (x - shift)), 0 below fp32's range, for scale * (x - shift) <= 0; returns the
  // sum, fp64. y may be x.
  double (*exponentials)(float* y, const float* x, float scale, float shift, int64_t n);
  // x = -infinity where y > limit
  void (*exclude)(float* x, const float* y, float limit, int64_t n);
  // y = rstd * (g - k1 - xhat * k2), xhat = ((x - mean_high) - mean_low) * rstd, k1 and k2 the
  // means of g and of g xhat, summed in fp64; k1 = 0 unless centred (RMSNorm).
  void (*norm_backward)(float* y, const float* g, const float* x, int64_t n, float mean_high,
                        float mean_low, float rstd, bool centred);
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

}  // namespace sightline::cpu
