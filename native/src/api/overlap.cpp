#include "api/overlap.h"

#include <utility>

#include "api/views.h"

namespace sightline {
namespace {

// Both are rows of one grid (the usual fused buffer): compare their places within a row.
bool apart_in_a_shared_row(const Region& a, const Region& b) {
  const int64_t pitch = a.inner_stride;
  if (pitch <= 0 || b.inner_stride != pitch || a.outer_stride % pitch != 0 ||
      b.outer_stride % pitch != 0) {
    return false;
  }
  const auto place = [pitch](const Region& r) {
    return static_cast<int64_t>(r.begin % static_cast<uintptr_t>(pitch));
  };
  const int64_t b_after_a = (place(b) - place(a) + pitch) % pitch;
  return b_after_a >= a.length && pitch - b_after_a >= b.length;
}

}  // namespace

bool Region::is_ordered() const {
  const int64_t block = (inner - 1) * inner_stride + length;
  return (inner == 1 || inner_stride >= length) && (outer == 1 || outer_stride >= block);
}

Region region_of(const Arg& arg, const sl_tensor& tensor) {
  Region region{arg};
  const int64_t count = element_count(tensor);
  if (count == 0) return region;
  const int64_t itemsize = tensor.dtype.bits / 8;
  region.begin = reinterpret_cast<uintptr_t>(data_of(tensor));
  if (tensor.ndim > 3) {  // contiguous by contract
    region.length = count * itemsize;
    return region;
  }
  const View3 view = view3(&tensor);
  region.length = view.cols * itemsize;
  region.inner = view.rows;
  region.inner_stride = view.row_stride * itemsize;
  region.outer = view.batch;
  region.outer_stride = view.batch_stride * itemsize;
  // A [B,N,D] view of a [N,B,D] tensor has the larger stride inside.
  if (region.outer == 1 || (region.inner > 1 && region.outer_stride < region.inner_stride)) {
    std::swap(region.outer, region.inner);
    std::swap(region.outer_stride, region.inner_stride);
  }
  if (region.inner == 1 || region.inner_stride == region.length) {  // one run
    region.length *= region.inner;
    region.inner = 1;
    region.inner_stride = 0;
  }
  if (region.inner == 1) {  // the outer dimension becomes the only one
    std::swap(region.outer, region.inner);
    std::swap(region.outer_stride, region.inner_stride);
    if (region.inner == 1 || region.inner_stride == region.length) {
      region.length *= region.inner;
      region.inner = 1;
      region.inner_stride = 0;
    }
  }
  return region;
}

bool overlaps(const Region& a, const Region& b) {
  if (a.length == 0 || b.length == 0) return false;
  if (a.end() <= b.begin || b.end() <= a.begin) return false;
  if (a.outer * a.inner == 1 && b.outer * b.inner == 1) return true;
  if (!a.is_ordered() || !b.is_ordered()) return true;  // a broadcast input around an output
  if (apart_in_a_shared_row(a, b)) return false;
  const int64_t a_runs = a.outer * a.inner, b_runs = b.outer * b.inner;
  for (int64_t i = 0, j = 0; i < a_runs && j < b_runs;) {
    if (a.run(i) + static_cast<uintptr_t>(a.length) <= b.run(j)) {
      ++i;
    } else if (b.run(j) + static_cast<uintptr_t>(b.length) <= a.run(i)) {
      ++j;
    } else {
      return true;
    }
  }
  return false;
}

OverlapCheck::OverlapCheck()
    : reads_([]() -> std::vector<Region>& {
        thread_local std::vector<Region> regions;
        return regions;
      }()),
      writes_([]() -> std::vector<Region>& {
        thread_local std::vector<Region> regions;
        return regions;
      }()) {
  reads_.clear();
  writes_.clear();
}

void OverlapCheck::read(const Arg& arg, const sl_tensor* tensor) {
  if (tensor != nullptr) reads_.push_back(region_of(arg, *tensor));
}

void OverlapCheck::write(const Arg& arg, const sl_tensor* tensor) {
  if (tensor != nullptr) writes_.push_back(region_of(arg, *tensor));
}

sl_status OverlapCheck::run() const {
  for (size_t i = 0; i < writes_.size(); ++i) {
    const Region& written = writes_[i];
    if (written.length != 0 && !written.is_ordered()) {
      return invalid(written.arg,
                     "strides make its elements overlap, expected an output whose "
                     "elements lie apart");
    }
    const auto refuse = [&](const Region& other) {
      return invalid(written.arg, "overlaps %s in memory, expected memory of its own",
                     name_of(other.arg).chars);
    };
    for (const Region& other : reads_) {
      if (overlaps(written, other)) return refuse(other);
    }
    for (size_t j = i + 1; j < writes_.size(); ++j) {
      if (overlaps(written, writes_[j])) return refuse(writes_[j]);
    }
  }
  return SL_OK;
}

}  // namespace sightline
