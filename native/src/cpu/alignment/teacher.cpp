#include "cpu/alignment/teacher.h"

#include <algorithm>
#include <cmath>

#include "cpu/gemm/pack.h"

namespace sightline::cpu {

TeacherRows TeacherRows::take(Arena& arena, const Kernels& kernels, const AlignmentCall& call) {
  TeacherRows rows;
  rows.row_ = &kernels.row;
  rows.view_ = call.teacher;
  rows.spatial_ = call.loss_options.spatial_teacher;
  rows.ld_ = scratch_row(rows.view_.cols);
  if (rows.spatial_) {
    rows.mean_ = arena.take<float>(rows.view_.batch, rows.ld_);
    rows.inverse_ = arena.take<float>(rows.view_.batch, rows.ld_);
  }
  return rows;
}

// Threads take pieces of an image's features, so that tokens are added in order.
void TeacherRows::prepare(int threads) {
  if (!spatial_) return;
  constexpr int64_t kPiece = 256;
  const int64_t pieces = (view_.cols + kPiece - 1) / kPiece, tokens = view_.rows;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t p = 0; p < view_.batch * pieces; ++p) {
    const int64_t image = p / pieces, column = p % pieces * kPiece;
    const int64_t n = std::min(kPiece, view_.cols - column);
    float row[kPiece + kRowPad];
    double mean[kPiece + kRowPad] = {}, squares[kPiece + kRowPad] = {};
    const auto each_row = [&](auto&& visit) {
      for (int64_t i = 0; i < tokens; ++i) {
        row_->load(row, view_.at(image * tokens + i, column), view_.dtype, n);
        visit();
      }
    };
    const double count = static_cast<double>(tokens);
    each_row([&] { row_->add_powers(mean, row, nullptr, n); });
    for (int64_t j = 0; j < n; ++j) mean[j] /= count;
    each_row([&] { row_->add_powers(squares, row, mean, n); });
    for (int64_t j = 0; j < n; ++j) {
      const double deviation = std::sqrt(squares[j] / std::max(count - 1, 1.0));
      mean_[image * ld_ + column + j] = static_cast<float>(mean[j]);
      inverse_[image * ld_ + column + j] = static_cast<float>(1 / (deviation + 1e-6));
    }
  }
  for (int64_t i = 0; i < view_.batch; ++i) {  // padding
    std::fill(mean_ + i * ld_ + view_.cols, mean_ + (i + 1) * ld_, 0.f);
    std::fill(inverse_ + i * ld_ + view_.cols, inverse_ + (i + 1) * ld_, 0.f);
  }
}

void TeacherRows::load(int64_t i, int64_t column, int64_t n, float* row) const {
  row_->load(row, view_.at(i, column), view_.dtype, n);
  if (!spatial_) return;
  const int64_t at = i / view_.rows * ld_ + column;
  row_->standardize(row, row, mean_ + at, inverse_ + at, n);
}

}  // namespace sightline::cpu
