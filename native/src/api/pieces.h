// Overlaps among many contiguous tensors, found by sorting: an optimizer has thousands, where
// overlap.h compares each with each.
#pragma once

#include <cstdint>
#include <vector>

#include "api/arguments.h"

namespace sightline {

struct Piece {
  uintptr_t begin, end;
  Arg arg;
};

// NULL tensors and those without elements are skipped.
void add_piece(std::vector<Piece>& pieces, const Arg& arg, const sl_tensor* tensor);
void sort_pieces(std::vector<Piece>& pieces);

// That sorted pieces share no memory: with each other, or with those of `others`, sorted as well.
sl_status check_apart(const std::vector<Piece>& pieces);
sl_status check_apart(const std::vector<Piece>& pieces, const std::vector<Piece>& others);

}  // namespace sightline
