// The teacher's rows as a loss reads them: as they are, or normalised over the tokens of their image
// (iREPA, arXiv 2512.10794): (t - mean) / (std + 1e-6) of each feature, std over N - 1.
#pragma once

#include "api/backend.h"
#include "cpu/kernels/kernels.h"
#include "cpu/workspace.h"

namespace sightline::cpu {

class TeacherRows {
 public:
  // `spatial` with an arena: statistics of every image, to be filled by prepare().
  static TeacherRows take(Arena& arena, const Kernels& kernels, const AlignmentCall& call);
  void prepare(int threads);

  // Elements [column, column + n) of token i's row, fp32.
  void load(int64_t i, int64_t column, int64_t n, float* row) const;
  int64_t features() const { return view_.cols; }

 private:
  const RowKernels* row_ = nullptr;
  View3 view_;
  bool spatial_ = false;
  int64_t ld_ = 0;
  float *mean_ = nullptr, *inverse_ = nullptr;  // [B, ld]
};

}  // namespace sightline::cpu
