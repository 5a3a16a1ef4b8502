#include "api/pieces.h"

#include <algorithm>

#include "api/views.h"

namespace sightline {
namespace {

sl_status overlap(const Piece& piece, const Piece& other) {
  return invalid(piece.arg, "overlaps %s in memory, expected memory of its own",
                 name_of(other.arg).chars);
}

}  // namespace

void add_piece(std::vector<Piece>& pieces, const Arg& arg, const sl_tensor* tensor) {
  if (tensor == nullptr) return;
  const Span s = span(tensor);
  if (s.size == 0) return;
  const auto begin = reinterpret_cast<uintptr_t>(s.data);
  pieces.push_back({begin, begin + static_cast<uintptr_t>(s.size * element_size(s.dtype)), arg});
}

void sort_pieces(std::vector<Piece>& pieces) {
  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
}

// Between neighbours, if any.
sl_status check_apart(const std::vector<Piece>& pieces) {
  for (size_t i = 1; i < pieces.size(); ++i) {
    if (pieces[i].begin < pieces[i - 1].end) return overlap(pieces[i], pieces[i - 1]);
  }
  return SL_OK;
}

sl_status check_apart(const std::vector<Piece>& pieces, const std::vector<Piece>& others) {
  auto other = others.begin();
  for (const Piece& piece : pieces) {
    while (other != others.end() && other->end <= piece.begin) ++other;
    if (other != others.end() && other->begin < piece.end) return overlap(piece, *other);
  }
  return SL_OK;
}

}  // namespace sightline
