// What a LoRA call through the C ABI asks of the GPU and of its caller, on the emulated kernels:
// bytes read, splits of a reduction, outputs that are not wanted, workspace.
#include "cuda/lora/products.cuh"
#include "lora_emulated.h"

using namespace abi;

// T and db from one read of dy up to rank 64 (fp32: 32) and one more for each further 64, whichever
// of them is wanted; da from one read of x for 64 ranks (fp32 products do not pass through here).
TEST(reads_of_dy_and_x) {
  for (DType type : {DType::kFloat32, DType::kBFloat16}) {
    use(kAmpere);
    const int64_t m = 70, n = 600, most = type == DType::kFloat32 ? 32 : 64;
    for (int64_t rank : {most / 2, most, most + 1, 4 * most}) {
      for (int wanted : {1, 2, 3}) {
        LoraShape shape{{m}, 40, {n}, {rank}};
        shape.x = shape.weight = type;
        LoraCase c(shape, 17);
        CHECK_EQ(c.forward(), SL_OK);
        auto abi = c.abi_linears();
        if (!(wanted & 1)) abi[0].grad_a = nullptr;
        if (!(wanted & 2)) abi[0].grad_b = nullptr;
        for (Tensor* watched : {&c.linears[0]->dy, &c.x}) {
          const auto begin = reinterpret_cast<uintptr_t>(watched->data());
          const int64_t bytes = watched->size() * sightline::element_size(type);
          emu::machine().watched_begin = begin;
          emu::machine().watched_end = begin + static_cast<uintptr_t>(bytes);
          emu::machine().watched_bytes = 0;
          sl_lora_args args = c.args_of(abi);
          args.grad_x = nullptr;
          CHECK_EQ(sl_lora_backward(nullptr, &args), SL_OK);
          const bool of_dy = watched != &c.x;
          if (!of_dy && type == DType::kFloat32) continue;
          const int64_t reads = of_dy || (wanted & 1) ? (rank + most - 1) / most : 0;
          CHECK_EQ(emu::machine().watched_bytes, reads * bytes);
        }
        emu::machine().watched_end = 0;
      }
    }
  }
}

TEST(splits_cover_k_once) {
  using sightline::cuda::split_blocks;
  for (int k_blocks = 1; k_blocks < 40; ++k_blocks) {
    for (int splits = 1; splits <= k_blocks; ++splits) {
      int next = 0;
      for (int i = 0; i < splits; ++i) {
        const auto range = split_blocks(k_blocks, splits, i);
        CHECK_EQ(range.begin, next);
        CHECK(range.end > range.begin);
        next = range.end;
      }
      CHECK_EQ(next, k_blocks);
    }
  }
  CHECK_EQ(sightline::cuda::split_count<sightline::Bf16>(kHopper, 4608, 32, 4096), 7);
  CHECK_EQ(sightline::cuda::split_count<sightline::Bf16>(kHopper, 0, 32, 4096), 0);
  CHECK_EQ(sightline::cuda::split_count<sightline::Bf16>(kHopper, 32, 32, 64), 1);
}

TEST(each_output_may_be_missing) {
  use(kAmpere);
  LoraShape shape{{20}, 24, {16, 24, 8}, {4, 6, 3}};
  shape.x = shape.weight = DType::kBFloat16;
  check_missing_outputs(shape, {0, 1, 2, 4, 8, 19, 37, 73, 126});
}

TEST(empty_batch) {
  use(kAmpere);
  check_empty_batch(0.5);
}

TEST(a_workspace_of_the_caller) {
  use(kAmpere);
  LoraShape shape{{20}, 24, {16}, {4}};
  LoraCase c(shape, 15);
  std::vector<uint8_t> memory(1 << 20);
  const auto address = reinterpret_cast<uintptr_t>(memory.data());
  c.context.workspace = memory.data() + (256 - address % 256);
  c.context.workspace_bytes = 1024;
  CHECK_EQ(c.forward(), SL_INVALID_ARGUMENT);
  c.context.workspace_bytes = memory.size() - 256;
  check_call(c);
}

TEST(a_query_for_workspace) {
  use(kHopper);
  LoraShape shape{{20}, 24, {16, 40}, {4, 3}};
  shape.dropout = 0.2;
  LoraCase c(shape, 16);
  const auto run = [&](bool forward) { return forward ? c.forward() : c.backward(false, false); };
  for (bool forward : {true, false}) {
    uint64_t bytes = 0;
    c.context = {};
    c.context.workspace_query = &bytes;
    emu::machine().launches = 0;
    CHECK_EQ(run(forward), SL_OK);
    CHECK_EQ(emu::machine().launches, 0);
    std::vector<uint8_t> memory(bytes + 512, 0x33);
    uint8_t* aligned = memory.data() + (256 - reinterpret_cast<uintptr_t>(memory.data()) % 256);
    c.context = {};
    c.context.workspace = aligned;
    c.context.workspace_bytes = bytes - 1;
    CHECK_EQ(run(forward), SL_INVALID_ARGUMENT);
    c.context.workspace_bytes = bytes;
    forward ? check_forward_call(c, bound_of(c)) : check_backward_call(c, false, bound_of(c));
    for (const uint8_t* p = aligned + bytes; p < memory.data() + memory.size(); ++p) {
      CHECK_EQ(*p, 0x33);
    }
  }
}

TEST_MAIN()
