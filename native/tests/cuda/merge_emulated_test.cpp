// LoRA's merge through the C ABI on the kernel as it is, on the host emulator: its rounding
// restated, and the bounds of merge then unmerge.
#include "lora_emulated.h"

using namespace abi;

// The stochastic words and the carry, restated; the expectation is the unrounded value.
TEST(merge_rounds_as_the_cpu_does) {
  use(kAmpere);
  Random random(21);
  for (DType type : kBothDTypes) {
    for (int32_t rounding : {SL_ROUND_NEAREST, SL_ROUND_STOCHASTIC}) {
      const int64_t n = 133, k = 71, r = 7;
      Tensor weight({n, k}, type, 3), a({r, k}), b({n, r});
      weight.fill(random), a.fill(random), b.fill(random, 0.1);
      const Vector before = weight.values();
      const sl_lora_merge_args args{weight.get(), a.get(), b.get(), 0.5, rounding, 77};
      CHECK_EQ(sl_lora_merge(nullptr, &args), SL_OK);
      CHECK(weight.padding_is_intact());
      int64_t wrong = 0;
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < k; ++j) {
          float delta = 0.f;
          for (int64_t l = 0; l < r; ++l) {
            delta = std::fma(static_cast<float>(b.at(i, l)), static_cast<float>(a.at(l, j)), delta);
          }
          float sum = static_cast<float>(before[i * k + j]) + 0.5f * delta;
          if (type == DType::kBFloat16 && rounding == SL_ROUND_STOCHASTIC) {
            const uint32_t word = sightline::dropout_words(77, 0x726f756e, static_cast<uint64_t>(i),
                                                           static_cast<uint32_t>(j / 4))
                                      .word[j % 4];
            uint32_t bits;
            std::memcpy(&bits, &sum, 4);
            sum = from_bf16(static_cast<uint16_t>((bits + (word & 0xffff)) >> 16));
          } else if (type == DType::kBFloat16) {
            sum = round_to_bf16(sum);
          }
          wrong += weight.at(i, j) != sum;
        }
      }
      CHECK_EQ(wrong, 0);
    }
  }
}

// The bounds of sightline.h: in ulp of the larger of |weight| and |weight + delta|, 2 in fp32, 1 to
// nearest in 16 bits, 2 stochastically (one each way); small, like and far larger deltas.
TEST(merge_then_unmerge_restores) {
  use(kAmpere);
  Random random(22);
  const int64_t n = 70, k = 133, r = 9;
  for (DType type : {DType::kFloat32, DType::kBFloat16}) {
    const int digits = type == DType::kFloat32 ? 23 : 7;
    for (int32_t rounding : {SL_ROUND_NEAREST, SL_ROUND_STOCHASTIC}) {
      const bool stochastic = rounding == SL_ROUND_STOCHASTIC && type == DType::kBFloat16;
      const double most = type == DType::kFloat32 || stochastic ? 2 : 1;
      for (double scale : {1e-3, 0.5, 40.}) {
        Tensor weight({n, k}, type, 3), a({r, k}), b({n, r});
        for (Tensor* t : {&weight, &a, &b}) t->raw().device = {SL_CUDA, 0};
        weight.fill(random), a.fill(random), b.fill(random, 0.1);
        const Vector before = weight.values();
        sl_lora_merge_args args{weight.get(), a.get(), b.get(), scale, rounding, 5};
        CHECK_EQ(sl_lora_merge(nullptr, &args), SL_OK);
        const Vector merged = weight.values();
        args.scale = -scale, args.seed = 6;
        CHECK_EQ(sl_lora_merge(nullptr, &args), SL_OK);
        CHECK(weight.padding_is_intact());
        int64_t beyond = 0, changed = 0;
        for (int64_t i = 0; i < n * k; ++i) {
          const double larger = std::max(std::abs(before[i]), std::abs(merged[i]));
          const int exponent = std::max(std::ilogb(larger), -126);
          beyond += std::abs(weight.at(i) - before[i]) > most * std::ldexp(1., exponent - digits);
          changed += merged[i] != before[i];
        }
        CHECK_EQ(beyond, 0);
        CHECK(changed > n * k / 50);
      }
    }
  }
}

TEST_MAIN()
