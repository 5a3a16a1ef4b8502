// LoRA forward and backward through the C ABI on the kernels as they are, thread by thread on the
// host emulator, against fp64 (lora_case.h): shapes, element types, ranks, masks, strides.
#include "lora_emulated.h"

using namespace abi;

namespace {

// Every dtype, bias, s, mask and padding combination over a shape.
void check_variants(const LoraShape& shape, DType x, std::initializer_list<int> variants,
                    int32_t fp32_precision = SL_FP32_IEEE) {
  for (int variant : variants) {
    check_shape(variant_of(shape, x, variant), static_cast<uint64_t>(variant + 1), variant % 2 == 1,
                fp32_precision);
  }
}

const std::vector<LoraShape> kShapes = {
    {{1}, 1, {1}, {1}},
    {{}, 7, {13}, {2}},
    {{2, 13}, 65, {31, 7, 65}, {1, 16, 31}},
    {{3, 5}, 300, {257, 17}, {65, 3}},
    {{140}, 72, {136}, {32}},
};

}  // namespace

TEST(fp32_shapes) {
  use(kAmpere);
  for (const LoraShape& shape : kShapes) check_variants(shape, DType::kFloat32, {0, 3, 5, 6});
}

TEST(fp32_through_tf32) {
  use(kHopper);
  for (const LoraShape& shape : kShapes)
    check_variants(shape, DType::kFloat32, {0, 5, 6}, SL_FP32_TF32);
}

TEST(tf32_is_taken_where_it_is_asked_for) {
  use(kAmpere);
  const LoraShape shape{{40}, 96, {72}, {16}};
  LoraCase exact(shape, 31), rounded(shape, 31);
  rounded.context.fp32_precision = SL_FP32_TF32;
  for (LoraCase* c : {&exact, &rounded}) {
    CHECK_EQ(c->forward(), SL_OK);
    CHECK_EQ(c->backward(false, false), SL_OK);
  }
  const auto differs = [](const Tensor& a, const Tensor& b) {
    const double error = relative_error(a.values(), b.values());
    CHECK_GE(error, 5e-5);
    CHECK_LE(error, 0x1p-9);
  };
  const auto &e = *exact.linears[0], &r = *rounded.linears[0];
  differs(r.y, e.y), differs(r.s, e.s), differs(r.da, e.da), differs(r.db, e.db);
  differs(rounded.dx, exact.dx);
}

TEST(bf16_shapes_on_portable_kernels) {
  use(kAmpere);
  for (const LoraShape& shape : kShapes) {
    check_variants(shape, DType::kBFloat16, {0, 1, 2, 3, 4, 5, 6, 7});
  }
}

TEST(bf16_shapes_on_hopper_kernels) {
  use(kHopper);
  for (const LoraShape& shape : kShapes) check_variants(shape, DType::kBFloat16, {1, 2, 4, 5, 7});
}

// More ranks than one launch over dy takes, and the last cut of every size.
TEST(wide_ranks) {
  use(kHopper);
  for (DType type : {DType::kFloat32, DType::kBFloat16}) {
    LoraShape shape{{45}, 24, {40}, {256}};
    for (int64_t rank : {33, 70, 110, 130, 256}) {
      shape.rank = {rank};
      shape.x = shape.weight = type;
      shape.dropout = rank == 70 ? 0.25 : 0;
      check_shape(shape, static_cast<uint64_t>(rank), rank == 130);
    }
  }
}

// Panels and chunks that end anywhere, T without db and db without T included above.
TEST(panels_and_chunks_of_dy) {
  for (const sightline::cuda::Device& device :
       {sightline::cuda::Device{0, 1, 8, 0}, sightline::cuda::Device{0, 3, 8, 0}, kAmpere}) {
    use(device);
    for (DType type : {DType::kFloat32, DType::kBFloat16}) {
      LoraShape shape{{97}, 8, {520}, {24}};
      shape.x = shape.weight = type;
      check_shape(shape, 18);
    }
  }
}

// Rows that start on 16 bytes are read in place, batches with a gap included.
TEST(read_in_place) {
  for (const auto& device : {kAmpere, kHopper}) {
    use(device);
    LoraShape shape{{2, 70}, 136, {72, 80}, {8, 40}};
    shape.x = shape.weight = DType::kBFloat16;
    shape.pad = 8;
    check_shape(shape, 3);
    shape.dropout = 0.25;
    check_shape(shape, 4, true);
  }
}

// More weights, and more masks, than one product takes.
TEST(many_linears) {
  for (const auto& device : {kAmpere, kHopper}) {
    use(device);
    for (double dropout : {0., 0.2}) {
      LoraShape shape{{33}, 40, {16, 24, 8, 32, 40, 9, 16, 24}, {4, 4, 8, 2, 4, 17, 4, 4}};
      shape.x = shape.weight = DType::kBFloat16;
      shape.dropout = dropout;
      shape.seeds = {1, 1, 1, 1, 1, 2, 3, 3};
      check_shape(shape, 5, dropout > 0);
    }
  }
}

// Long reductions are split and added in order; the bits do not depend on the schedule.
TEST(split_reductions_repeat) {
  LoraShape shape{{300}, 520, {264}, {24}};
  shape.x = shape.weight = DType::kBFloat16;
  shape.dropout = 0.1;
  std::vector<std::vector<uint8_t>> expected;
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    use(kHopper);
    emu::machine().random.seed(seed);
    LoraCase c(shape, 9);
    check_call(c);
    const auto bytes = output_bytes(c);
    if (expected.empty()) expected = bytes;
    CHECK(bytes == expected);
  }
}

TEST_MAIN()
