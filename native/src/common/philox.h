// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel Random Numbers: As Easy as
// 1, 2, 3" (SC 2011), and the dropout mask drawn from it.
//
// A mask element is a function of (seed, stream, row, column) alone, so that the backward pass can
// draw it again and no thread count, tile shape or ISA path changes it:
//   counter = (column / 4, row low 32, row high 32, stream), key = seed,  word = output[column % 4]
//   kept if word >= dropout_threshold(p)
#pragma once

#include <cstdint>

namespace sightline {

struct Philox4 {
  uint32_t word[4];
};

constexpr uint32_t kPhiloxM0 = 0xD2511F53u, kPhiloxM1 = 0xCD9E8D57u;
constexpr uint32_t kPhiloxW0 = 0x9E3779B9u, kPhiloxW1 = 0xBB67AE85u;

inline constexpr Philox4 philox4x32_10(Philox4 counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = static_cast<uint64_t>(kPhiloxM0) * counter.word[0];
    const uint64_t product1 = static_cast<uint64_t>(kPhiloxM1) * counter.word[2];
    counter = {{static_cast<uint32_t>(product1 >> 32) ^ counter.word[1] ^ key0,
                static_cast<uint32_t>(product1),
                static_cast<uint32_t>(product0 >> 32) ^ counter.word[3] ^ key1,
                static_cast<uint32_t>(product0)}};
    key0 += kPhiloxW0;
    key1 += kPhiloxW1;
  }
  return counter;
}

// Which words are dropped: P(word < threshold) = p to within 2^-32. p in [0, 1).
inline constexpr uint32_t dropout_threshold(double p) {
  return static_cast<uint32_t>(p * 4294967296.0);
}

// Streams keep masks that share a seed apart.
enum DropoutStream : uint32_t {
  kDropoutProjector1 = 0,  // after the activation of the projector's first layer
  kDropoutProjector2 = 1,  // of its second
  kDropoutLora = 2,
  kDropoutProjector3 = 3,
};
inline constexpr DropoutStream kDropoutProjector[] = {kDropoutProjector1, kDropoutProjector2,
                                                      kDropoutProjector3};
// Of stochastic rounding: merging with a seed that was also a dropout seed draws other words.
inline constexpr uint32_t kRoundingStream = 0x726f756e;

// The four words of columns 4*group .. 4*group+3.
inline constexpr Philox4 dropout_words(uint64_t seed, uint32_t stream, uint64_t row,
                                       uint32_t group) {
  return philox4x32_10(
      {{group, static_cast<uint32_t>(row), static_cast<uint32_t>(row >> 32), stream}},
      static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
}

inline constexpr bool dropout_keeps(uint64_t seed, uint32_t stream, uint64_t row, uint64_t column,
                                    uint32_t threshold) {
  const Philox4 words = dropout_words(seed, stream, row, static_cast<uint32_t>(column / 4));
  return words.word[column % 4] >= threshold;
}

}  // namespace sightline
