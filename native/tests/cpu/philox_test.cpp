#include "common/philox.h"

#include <cmath>

#include "harness.h"

using namespace sightline;

// Known answers of Random123's kat_vectors, "philox4x32 10".
static void check_answer(Philox4 counter, uint32_t key0, uint32_t key1, Philox4 expected) {
  const Philox4 actual = philox4x32_10(counter, key0, key1);
  for (int i = 0; i < 4; ++i) CHECK_EQ(actual.word[i], expected.word[i]);
}

TEST(words_are_the_known_answers) {
  check_answer({{0, 0, 0, 0}}, 0, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
  check_answer({{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}}, 0xffffffff, 0xffffffff,
               {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
  check_answer({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0,
               {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});
}

// The first known answer again, as the mask of four columns: the words below the threshold drop.
TEST(a_word_at_the_threshold_is_kept) {
  const uint32_t words[] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  for (uint64_t column = 0; column < 4; ++column) {
    CHECK(dropout_keeps(0, kDropoutProjector1, 0, column, words[column]));
    CHECK(!dropout_keeps(0, kDropoutProjector1, 0, column, words[column] + 1));
  }
}

TEST(masks_have_their_rate) {
  for (double p : {0.0, 0.1, 0.5, 0.9}) {
    const uint32_t threshold = dropout_threshold(p);
    const int rows = 200, columns = 203;
    int dropped = 0;
    for (int row = 0; row < rows; ++row)
      for (int column = 0; column < columns; ++column)
        dropped += !dropout_keeps(42, kDropoutLora, row, column, threshold);
    const double n = rows * columns;
    CHECK_LE(std::abs(dropped - n * p), 5 * std::sqrt(n * p * (1 - p)));  // five sigma
  }
}

TEST(masks_of_other_seeds_streams_and_rows_differ) {
  const uint32_t threshold = dropout_threshold(0.5);
  int by_seed = 0, by_stream = 0, by_row = 0, by_high_row = 0, by_high_seed = 0;
  for (uint64_t column = 0; column < 1000; ++column) {
    const bool keep = dropout_keeps(7, kDropoutProjector1, 3, column, threshold);
    by_seed += keep != dropout_keeps(8, kDropoutProjector1, 3, column, threshold);
    by_high_seed +=
        keep != dropout_keeps(7 + (1ull << 32), kDropoutProjector1, 3, column, threshold);
    by_stream += keep != dropout_keeps(7, kDropoutProjector2, 3, column, threshold);
    by_row += keep != dropout_keeps(7, kDropoutProjector1, 4, column, threshold);
    by_high_row +=
        keep != dropout_keeps(7, kDropoutProjector1, 3 + (1ull << 32), column, threshold);
  }
  for (int differing : {by_seed, by_high_seed, by_stream, by_row, by_high_row}) {
    CHECK_GE(differing, 400);
    CHECK_LE(differing, 600);
  }
}

TEST_MAIN()
