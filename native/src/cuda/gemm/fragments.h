// Which element of a tile each register of each thread holds (PTX ISA, "Matrix Fragments" of
// mma.m16n8k16 and "Register Fragments" of wgmma).
#pragma once

#include "cuda/tensor/types.cuh"

namespace sightline::cuda {

struct Position {
  int row;
  int column;
};

// mma.m16n8k16 accumulator register i of 4.
SL_HOST_DEVICE constexpr Position mma_accumulator(int lane, int i) {
  return {lane / 4 + 8 * (i >> 1), 2 * (lane % 4) + (i & 1)};
}

// mma.m16n8k16 A: element e of register j of 4, as (row, k).
SL_HOST_DEVICE constexpr Position mma_a(int lane, int j, int e) {
  return {lane / 4 + 8 * (j & 1), 2 * (lane % 4) + e + 8 * (j >> 1)};
}

// mma.m16n8k16 B: element e of register j of 2, as (k, n).
SL_HOST_DEVICE constexpr Position mma_b(int lane, int j, int e) {
  return {2 * (lane % 4) + e + 8 * j, lane / 4};
}

// mma.m16n8k8 with tf32: register j of 4 of A, as (row, k), and j of 2 of B, as (k, n).
// Accumulators as m16n8k16. ldmatrix serves K-major operands: what it takes for two 16-bit elements
// is one of fp32, and a k-step is two chunks again.
SL_HOST_DEVICE constexpr Position tf32_a(int lane, int j) {
  return {lane / 4 + 8 * (j & 1), lane % 4 + 4 * (j >> 1)};
}
SL_HOST_DEVICE constexpr Position tf32_b(int lane, int j) { return {lane % 4 + 4 * j, lane / 4}; }

// wgmma m64nN accumulator register i of N/2, thread 0..127 of the warpgroup.
SL_HOST_DEVICE constexpr Position wgmma_accumulator(int thread, int i) {
  const int lane = thread % 32;
  return {16 * (thread / 32) + lane / 4 + 8 * ((i >> 1) & 1),
          8 * (i >> 2) + 2 * (lane % 4) + (i & 1)};
}

// What lane l of a warp gives ldmatrix.x4 for one k-step of 32 bytes: a row of the stored tile and
// a 16-byte chunk of that row.
struct MatrixRow {
  int row;
  int chunk;
};

// A stored [m][k], 16 rows from m0: registers a0..a3.
SL_HOST_DEVICE constexpr MatrixRow a_k_major(int lane, int m0, int kk) {
  return {m0 + (lane & 15), 2 * kk + (lane >> 4)};
}
// B stored [n][k], 16 columns from n0: b0, b1 of n0..n0+7, then b0, b1 of n0+8..n0+15.
SL_HOST_DEVICE constexpr MatrixRow b_k_major(int lane, int n0, int kk) {
  return {n0 + (lane & 7) + 8 * (lane >> 4), 2 * kk + ((lane >> 3) & 1)};
}
// A stored [k][m], with .trans.
SL_HOST_DEVICE constexpr MatrixRow a_mn_major(int lane, int m0, int kk) {
  return {16 * kk + (lane & 7) + 8 * (lane >> 4), m0 / 8 + ((lane >> 3) & 1)};
}
// B stored [k][n], with .trans: same register order as b_k_major.
SL_HOST_DEVICE constexpr MatrixRow b_mn_major(int lane, int n0, int kk) {
  return {16 * kk + (lane & 15), n0 / 8 + (lane >> 4)};
}

// Accumulators of 16 columns, rounded and packed in pairs, are the registers of ldmatrix.x4 and
// stmatrix.x4 in this order: pair q is row g + 8 (q & 1), columns 8 (q >> 1) + 2 (lane % 4) and
// + 1. What lane l addresses for columns 16 kk .. 16 kk + 15 of the warp's 16 rows from m0:
SL_HOST_DEVICE constexpr MatrixRow accumulator_matrices(int lane, int m0, int kk) {
  return a_k_major(lane, m0, kk);
}

}  // namespace sightline::cuda
