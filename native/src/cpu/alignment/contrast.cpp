#include "cpu/alignment/contrast.h"

#include <cmath>
#include <limits>

namespace sightline::cpu {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// t^ while it is packed.
struct UnitRows {
  const TeacherRows* teacher;
  const float* inverse_size;
  bool finite;  // rows that are not as zeros
};

void fetch_unit(const void* user, int64_t token, int64_t column, int64_t n, float* row) {
  const auto& units = *static_cast<const UnitRows*>(user);
  const float inverse = units.inverse_size[token];
  if (units.finite && !std::isfinite(inverse)) {
    std::fill(row, row + n, 0.f);
    return;
  }
  units.teacher->load(token, column, n, row);
  for (int64_t j = 0; j < n; ++j) row[j] *= inverse;
}

}  // namespace

ContrastTargets ContrastTargets::take(Arena& arena, const Kernels& kernels, DType compute,
                                      const AlignmentCall& call) {
  const int64_t tokens = call.teacher.total_rows(), features = call.teacher.cols;
  ContrastTargets t{};
  t.call = &call;
  t.scores_memory_ = arena.take<char>(packed_b_bytes(kernels, compute, features, tokens));
  t.features_memory_ = arena.take<char>(packed_b_bytes(kernels, compute, tokens, features));
  t.inverse_size = arena.take<float>(tokens);
  if (call.token_weight) t.dropped = arena.take<float>(checked_sum(tokens, kRowPad));
  return t;
}

void ContrastTargets::prepare(const Kernels& kernels, DType compute, const TeacherRows& teacher,
                              int threads) {
  const View3& view = call->teacher;
  const int64_t tokens = view.total_rows(), features = view.cols;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t i = 0; i < tokens; ++i) {
    constexpr int64_t kPart = 512;
    float part[kPart + kRowPad];
    double square = 0;
    for (int64_t j = 0; j < features; j += kPart) {
      const int64_t n = std::min(kPart, features - j);
      teacher.load(i, j, n, part);
      square += kernels.row.dot(part, part, n);
    }
    // Not finite where the row is not.
    inverse_size[i] =
        static_cast<float>(1 / floored(std::sqrt(square))) + static_cast<float>(square - square);
  }
  const UnitRows as_is{&teacher, inverse_size, false}, finite{&teacher, inverse_size, true};
  const auto rows = [&](bool along_k, const UnitRows& units) {
    return Operand{
        {nullptr, DType::kFloat32, 1, tokens, features, 0, 0}, along_k, fetch_unit, &units};
  };
  scores = pack_b(kernels, compute, rows(true, as_is), features, tokens, scores_memory_, threads);
  this->features =
      pack_b(kernels, compute, rows(false, finite), tokens, features, features_memory_, threads);
  for (int64_t i = 0; dropped && i < tokens; ++i) {
    dropped[i] = token_weight(*call, i) == 0 ? 1.f : 0.f;
  }
}

ContrastScratch ContrastScratch::take(Arena& arena, const GemmKernels& gemm, int64_t rows,
                                      int64_t ld, const LossOptions& loss, int64_t features) {
  constexpr int64_t kPiece = ContrastTargets::kPiece;
  const bool similarity = loss.false_negatives > 0;
  ContrastScratch s{};
  s.packed = arena.take<char>(
      packed_rows_bytes(gemm, rows, similarity ? std::max(kPiece, features) : kPiece));
  s.scores = arena.take<float>(rows, scratch_row(kPiece));
  if (similarity) {
    s.similarity = arena.take<float>(rows, scratch_row(kPiece));
    s.unit = arena.take<float>(gemm.mr, ld);
  }
  s.sums = arena.take<float>(rows, ld);
  s.largest = arena.take<double>(rows);
  s.total = arena.take<double>(rows);
  s.cosines = arena.take<RowCosine>(rows);
  return s;
}

ContrastBlock::ContrastBlock(const Kernels& kernels, DType compute, const ContrastTargets& targets,
                             const TeacherRows& teacher, const ContrastScratch& scratch,
                             int64_t most, int64_t first, int64_t count, int64_t ld)
    : row_(kernels.row),
      targets_(targets),
      teacher_(teacher),
      s_(scratch),
      loss_(targets.call->loss_options),
      product_(kernels.gemm(compute), scratch.packed, most, count),
      first_(first),
      count_(count),
      ld_(ld),
      image_(targets.call->teacher.rows),
      features_(targets.call->teacher.cols) {}

bool ContrastBlock::any_allowed(int64_t column, int64_t n) const {
  if (loss_.negatives != Negatives::kImage) return true;
  const int64_t begin = first_ / image_ * image_;
  const int64_t end = ((first_ + count_ - 1) / image_ + 1) * image_;
  return column < end && column + n > begin;
}

// Scores of token first_ + i with tokens [column, column + n).
void ContrastBlock::exclude(int64_t i, int64_t column, int64_t n, float* scores) const {
  const int64_t token = first_ + i, own = token / image_ * image_;
  const int64_t begin = std::clamp<int64_t>(own - column, 0, n);
  const int64_t end = std::clamp<int64_t>(own + image_ - column, 0, n);
  if (loss_.negatives == Negatives::kImage) {
    std::fill(scores, scores + begin, kMinusInfinity);
    std::fill(scores + end, scores + n, kMinusInfinity);
  } else if (loss_.negatives == Negatives::kOthers) {
    std::fill(scores + begin, scores + end, kMinusInfinity);
  }
  if (targets_.dropped) row_.exclude(scores, targets_.dropped + column, 0.f, n);
  if (s_.similarity) {
    row_.exclude(scores, s_.similarity + i * scratch_row(ContrastTargets::kPiece),
                 loss_.false_negatives, n);
  }
  if (token >= column && token < column + n) {
    scores[token - column] = static_cast<float>(s_.cosines[i].cosine);
  }
}

void ContrastBlock::compare(const BlockProduct& product, const float* z, bool gradient) {
  constexpr int64_t kPiece = ContrastTargets::kPiece;
  const int64_t score_ld = scratch_row(kPiece);
  const float scale = 1 / loss_.temperature;
  for (int64_t i = 0; i < count_; ++i) {
    std::fill(s_.sums + i * ld_, s_.sums + (i + 1) * ld_, 0.f);
    s_.largest[i] = kMinusInfinity, s_.total[i] = 0;
  }
  product.pack(features_, [&](int64_t i, int) { return z + i * ld_; });
  const int64_t tokens = targets_.call->teacher.total_rows();
  for (int64_t column = 0; column < tokens; column += kPiece) {
    const int64_t n = std::min(kPiece, tokens - column);
    if (!any_allowed(column, n)) continue;
    product.multiply(targets_.scores, s_.scores, score_ld, false, 0, features_, column, n);
    if (s_.similarity) {
      product_.pack(features_, [&](int64_t i, int slot) {
        float* unit = s_.unit + slot * ld_;
        teacher_.load(first_ + i, 0, features_, unit);
        row_.combine(unit, targets_.inverse_size[first_ + i], unit, 0, unit, features_);
        return static_cast<const float*>(unit);
      });
      product_.multiply(targets_.scores, s_.similarity, score_ld, false, 0, features_, column, n);
    }
    const auto exponentials = [&](int64_t i, int) {
      float* row = s_.scores + i * score_ld;
      exclude(i, column, n, row);
      const double most = std::max<double>(s_.largest[i], row_.largest(row, n));
      const double factor =
          most == s_.largest[i] ? 1 : std::exp((s_.largest[i] - most) * static_cast<double>(scale));
      const float shift = most == kMinusInfinity ? 0.f : static_cast<float>(most);
      s_.total[i] = s_.total[i] * factor + row_.exponentials(row, row, scale, shift, n);
      s_.largest[i] = most;
      float* sums = s_.sums + i * ld_;
      if (gradient && factor != 1) row_.combine(sums, factor, sums, 0, sums, features_);
      return static_cast<const float*>(row);
    };
    if (gradient) {
      product_.pack(n, exponentials);
      product_.multiply(targets_.features, s_.sums, ld_, true, column, n, 0, features_);
    } else {
      for (int64_t i = 0; i < count_; ++i) exponentials(i, 0);
    }
  }
}

double ContrastBlock::finish(int64_t i, float* z, float* t, const double* scale) const {
  const RowCosine& c = s_.cosines[i];
  const double temperature = loss_.temperature;
  if (scale) {
    float* sums = s_.sums + i * ld_;
    const double k = *scale / temperature;
    teacher_.load(first_ + i, 0, features_, t);
    row_.combine(sums, k / s_.total[i], sums, -k / c.t_size, t, features_);
    const double along = c.constant_size ? 0 : row_.dot(sums, z, features_);
    row_.combine(z, 1 / c.z_size, sums, -along / c.z_size, z, features_);
  }
  return (s_.largest[i] - c.cosine) / temperature + std::log(s_.total[i]);
}

}  // namespace sightline::cpu
