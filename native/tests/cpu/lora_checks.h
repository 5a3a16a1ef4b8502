// What the tests of LoRA ask of every backend: outputs against the fp64 reference of lora_case.h,
// outputs that are not wanted, a batch of nothing.
#pragma once

#include "harness.h"
#include "lora_case.h"

namespace abi {

inline Vector zeros(const Tensor& t) { return Vector(static_cast<size_t>(t.size())); }

// One of eight ways to call: dtypes of the weights, adapters and gradients, bias, s, mask, padding.
inline LoraShape variant_of(LoraShape shape, DType x, int variant) {
  const DType narrow = DType::kBFloat16;
  shape.x = x;
  shape.weight = variant & 1 ? narrow : DType::kFloat32;
  shape.adapter = variant & 2 ? narrow : DType::kFloat32;
  shape.gradient = variant & 4 ? narrow : DType::kFloat32;
  shape.has_bias = variant % 3 != 0;
  shape.keeps_s = variant % 2 == 0;
  shape.has_weight = variant != 5;
  shape.dropout = variant >= 4 ? 0.3 : 0;
  shape.pad = variant % 4 == 1 ? 0 : 5;
  shape.seeds.clear();
  // Two of three share a mask, so that stacks of one and of two occur.
  for (size_t i = 0; variant >= 6 && i < shape.n.size(); ++i) shape.seeds.push_back(i / 2);
  return shape;
}

inline void check_forward_call(LoraCase& c, double bound) {
  std::vector<Vector> before;
  for (auto& l : c.linears) before.push_back(l->y.values());
  CHECK_EQ(c.forward(), SL_OK);
  for (size_t i = 0; i < c.linears.size(); ++i) {
    const auto& l = *c.linears[i];
    CHECK_LE(relative_error(l.y.values(), c.y_of(l, before[i])), bound);
    CHECK(l.y.padding_is_intact());
    if (c.shape.keeps_s) {
      CHECK_LE(relative_error(l.s.values(), c.s_of(l)), bound);
    }
    CHECK(l.s.padding_is_intact());
  }
}

// Where the shape keeps s, the forward call must have been made.
inline void check_backward_call(LoraCase& c, bool accumulate, double bound) {
  const Vector dx_before = accumulate ? c.dx.values() : zeros(c.dx);
  std::vector<Vector> da_before, db_before;
  for (auto& l : c.linears) {
    da_before.push_back(accumulate ? l->da.values() : zeros(l->da));
    db_before.push_back(accumulate ? l->db.values() : zeros(l->db));
  }
  CHECK_EQ(c.backward(accumulate, accumulate), SL_OK);
  const double weight_bound = std::max(bound, tolerance(c.shape.gradient));
  CHECK_LE(relative_error(c.dx.values(), c.dx_of(dx_before)), bound);
  CHECK(c.dx.padding_is_intact());
  for (size_t i = 0; i < c.linears.size(); ++i) {
    const auto& l = *c.linears[i];
    CHECK_LE(relative_error(l.da.values(), c.da_of(l, da_before[i])), weight_bound);
    CHECK_LE(relative_error(l.db.values(), c.db_of(l, db_before[i])), weight_bound);
    CHECK(l.da.padding_is_intact() && l.db.padding_is_intact());
  }
}

// Everything that a forward and a backward call wrote, for bitwise comparisons.
inline std::vector<std::vector<uint8_t>> output_bytes(const LoraCase& c) {
  std::vector<std::vector<uint8_t>> bytes{c.dx.bytes()};
  for (auto& l : c.linears) {
    for (const Tensor* t : {&l->y, &l->s, &l->da, &l->db}) bytes.push_back(t->bytes());
  }
  return bytes;
}

// Three linears; bits of `wanted`: dx, then da and db of each. What is wanted has the bits of the
// whole call, what is not wanted keeps its own.
inline void check_missing_outputs(const LoraShape& shape, const std::vector<unsigned>& sets) {
  LoraCase whole(shape, 11);
  CHECK_EQ(whole.forward(), SL_OK);
  CHECK_EQ(whole.backward(), SL_OK);
  for (unsigned wanted : sets) {
    LoraCase c(shape, 11);
    CHECK_EQ(c.forward(), SL_OK);
    auto abi = c.abi_linears();
    for (unsigned i = 0; i < 3; ++i) {
      if (!(wanted >> (1 + 2 * i) & 1)) abi[i].grad_a = nullptr;
      if (!(wanted >> (2 + 2 * i) & 1)) abi[i].grad_b = nullptr;
      if (wanted % 3 == 0) abi[i].s = nullptr;
    }
    sl_lora_args args = c.args_of(abi);
    if (!(wanted & 1)) args.grad_x = nullptr;
    CHECK_EQ(sl_lora_backward(nullptr, &args), SL_OK);
    const LoraCase fresh(shape, 11);
    CHECK(c.dx.bytes() == (wanted & 1 ? whole : fresh).dx.bytes());
    for (unsigned i = 0; i < 3; ++i) {
      CHECK(c.linears[i]->da.bytes() == (abi[i].grad_a ? whole : fresh).linears[i]->da.bytes());
      CHECK(c.linears[i]->db.bytes() == (abi[i].grad_b ? whole : fresh).linears[i]->db.bytes());
    }
  }
}

// Without rows the weights' gradients are zeros, or what they were where the call accumulates.
inline void check_empty_batch(double dropout) {
  LoraShape shape{{0}, 6, {5, 4}, {2, 3}};
  shape.dropout = dropout;
  LoraCase c(shape, 14);
  CHECK_EQ(c.forward(), SL_OK);
  const Vector kept = c.linears[1]->da.values();
  CHECK_EQ(c.backward(false, true), SL_OK);
  CHECK(c.linears[1]->da.values() == kept);
  CHECK_EQ(c.backward(false, false), SL_OK);
  for (auto& l : c.linears) {
    CHECK(l->da.values() == zeros(l->da));
    CHECK(l->db.values() == zeros(l->db));
  }
}

}  // namespace abi
