#include "cuda/adamw/adamw.h"

#include <memory>
#include <vector>

#include "cuda/adamw/step_kernel.cuh"
#include "cuda/runtime/device.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/status.h"

namespace sightline::cuda {
namespace {

bool aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

// Most blocks that one grid can have: sizes the parts.
constexpr int kMostBlocks = 8192;

// One allocation for everything a step reads.
struct Tables {
  AdamwEntry* entries;
  GradEntry* grads;
  AdamwChunk* chunks;
  sl_adamw_group* groups;
  int64_t* steps;
  AdamwPart* parts;
  AdamwDecision* decision;
  uint64_t* barrier;

  Tables(Arena& arena, int64_t tensors, int64_t chunk_count, int64_t group_count) {
    entries = arena.take<AdamwEntry>(tensors);
    grads = arena.take<GradEntry>(tensors);
    chunks = arena.take<AdamwChunk>(chunk_count);
    groups = arena.take<sl_adamw_group>(group_count);
    steps = arena.take<int64_t>(tensors);
    parts = arena.take<AdamwPart>(kMostBlocks);
    decision = arena.take<AdamwDecision>(1);
    barrier = arena.take<uint64_t>(2);
    static_assert(sizeof(AdamwBarrier) <= 2 * sizeof(uint64_t), "zeroed as words");
  }
};

class AdamwHandle {
 public:
  AdamwHandle(const Device& device, const AdamwTensor* tensors, int64_t count)
      : device_(device), count_(count) {
    for (int64_t i = 0; i < count; ++i) {
      const AdamwTensor& t = tensors[i];
      AdamwEntry entry{};
      entry.param = t.param.data;
      entry.exp_avg = static_cast<float*>(t.exp_avg.data);
      entry.exp_avg_sq = static_cast<float*>(t.exp_avg_sq.data);
      entry.master = static_cast<float*>(t.master.data);
      entry.remainder = static_cast<int16_t*>(t.remainder.data);
      entry.size = t.param.size;
      entry.group = t.group;
      entry.param_dtype = t.param.dtype;
      entry.vector = aligned(t.param.data) && aligned(t.exp_avg.data) &&
                     aligned(t.exp_avg_sq.data) && aligned(t.master.data) &&
                     aligned(t.remainder.data);
      entries_.push_back(entry);
      group_count_ = std::max<int64_t>(group_count_, t.group + 1);
    }
  }
  ~AdamwHandle() {
    if (memory_ != nullptr) device_free(memory_);
  }
  AdamwHandle(const AdamwHandle&) = delete;
  AdamwHandle& operator=(const AdamwHandle&) = delete;

  int device() const { return device_.id; }

  // Parameters may have been made on any stream, but only their addresses are read here.
  sl_status create() {
    int64_t chunks = 0;
    for (const AdamwEntry& entry : entries_) {
      chunks = checked_sum(chunks, entry.size / kAdamwChunk + (entry.size % kAdamwChunk != 0));
    }
    if (std::max(chunks, count_) > INT32_MAX) {
      return set_error(SL_UNSUPPORTED,
                       "params: %lld tensors, %lld chunks of %d elements, at most 2^31 - 1 on CUDA",
                       static_cast<long long>(count_), static_cast<long long>(chunks), kAdamwChunk);
    }
    chunks_.reserve(static_cast<size_t>(chunks));
    for (int64_t i = 0; i < count_; ++i) {
      for (int64_t c = 0; c * kAdamwChunk < entries_[i].size; ++c) {
        chunks_.push_back({static_cast<int32_t>(i), static_cast<int32_t>(c)});
      }
    }
    Arena measure(nullptr);
    make(measure);
    SL_TRY(status_of(device_allocate(measure.bytes(), &memory_), "tables of the optimizer"));
    const Tables t = tables();
    Stream stream(device_, nullptr);
    write_table(stream, t.entries, entries_.data(), count_);
    write_table(stream, t.chunks, chunks_.data(), static_cast<int64_t>(chunks_.size()));
    const std::vector<int64_t> zeros(static_cast<size_t>(count_), 0);
    write_table(stream, t.steps, zeros.data(), count_);
    const uint64_t barrier[2] = {};
    write_table(stream, t.barrier, barrier, 2);
    stream.fail(device_wait());
    return status_of(stream.error(), "tables of the optimizer");
  }

  sl_status step(const sl_context& context, const AdamwStep& step) {
    Stream stream(device_, static_cast<cudaStream_t>(context.stream));
    bool capturing = false;
    stream.fail(is_capturing(stream.get(), &capturing));
    // What is captured is executed later, and again: from then on the tables' contents are unknown.
    captured_ = captured_ || capturing;
    const Tables t = tables();
    update_grads(stream, t, step);
    update_groups(stream, t, step);

    AdamwStepKernel::Params p{};
    p.entries = t.entries, p.grads = t.grads, p.chunks = t.chunks, p.groups = t.groups;
    p.steps = t.steps, p.parts = t.parts, p.decision = t.decision;
    p.barrier = reinterpret_cast<AdamwBarrier*>(t.barrier);
    p.tensors = static_cast<int>(count_);
    p.chunk_count = static_cast<int>(chunks_.size());
    p.lr = step.lr;
    p.grad_scale = step.grad_scale, p.max_grad_norm = step.max_grad_norm;
    p.skip_nonfinite = step.skip_nonfinite, p.zero_grads = step.zero_grads;
    p.report = step.report;
    // One block even where there is nothing to update: it writes the report and counts the steps.
    const int most = std::max(1, std::min(p.chunk_count, kMostBlocks));
    stream.launch_cooperative<AdamwStepKernel>(p, most);
    return status_of(stream.error(), "adamw step");
  }

  sl_status get_steps(int64_t* steps) const {
    return status_of(copy_to_host(steps, tables().steps, count_ * 8), "steps");
  }
  sl_status set_steps(const int64_t* steps) {
    Stream stream(device_, nullptr);
    stream.fail(device_wait());
    write_table(stream, tables().steps, steps, count_);
    stream.fail(device_wait());
    return status_of(stream.error(), "steps");
  }

 private:
  Tables make(Arena& arena) const {
    return Tables(arena, count_, static_cast<int64_t>(chunks_.size()), group_count_);
  }
  Tables tables() const {
    Arena arena(memory_);
    return make(arena);
  }

  void update_grads(Stream& stream, const Tables& t, const AdamwStep& step) {
    next_grads_.resize(static_cast<size_t>(count_));
    for (int64_t i = 0; i < count_; ++i) {
      GradEntry entry{};
      entry.data = step.grads[i].data;
      entry.dtype = step.grads[i].dtype;
      entry.vector = aligned(entry.data);
      next_grads_[i] = entry;
    }
    if (!captured_ && same(next_grads_, grads_)) return;
    write_table(stream, t.grads, next_grads_.data(), count_);
    grads_.swap(next_grads_);
  }

  void update_groups(Stream& stream, const Tables& t, const AdamwStep& step) {
    next_groups_.assign(step.groups, step.groups + group_count_);
    if (!captured_ && same(next_groups_, groups_)) return;
    write_table(stream, t.groups, next_groups_.data(), group_count_);
    groups_.swap(next_groups_);
  }

  template <class T>
  static bool same(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
  }

  const Device& device_;
  int64_t count_, group_count_ = 0;
  std::vector<AdamwEntry> entries_;
  std::vector<AdamwChunk> chunks_;
  // As the tables hold them; spares keep their memory, so that a step allocates nothing.
  std::vector<GradEntry> grads_, next_grads_;
  std::vector<sl_adamw_group> groups_, next_groups_;
  bool captured_ = false;
  void* memory_ = nullptr;
};

}  // namespace

sl_status adamw_create(const AdamwTensor* tensors, int64_t count, void** out) {
  const void* param = nullptr;
  for (int64_t i = 0; i < count && param == nullptr; ++i) param = tensors[i].param.data;
  const auto create = [&](const Device& device) {
    auto handle = std::make_unique<AdamwHandle>(device, tensors, count);
    SL_TRY(handle->create());
    *out = handle.release();
    return SL_OK;
  };
  return on_device_of(param, "params", create);
}

sl_status adamw_step(void* adamw, const sl_context& context, const AdamwStep& step) {
  auto* handle = static_cast<AdamwHandle*>(adamw);
  return on_device(handle->device(), [&] { return handle->step(context, step); });
}

sl_status adamw_get_steps(const void* adamw, int64_t* steps) {
  const auto* handle = static_cast<const AdamwHandle*>(adamw);
  return on_device(handle->device(), [&] { return handle->get_steps(steps); });
}

sl_status adamw_set_steps(void* adamw, const int64_t* steps) {
  auto* handle = static_cast<AdamwHandle*>(adamw);
  return on_device(handle->device(), [&] { return handle->set_steps(steps); });
}

void adamw_destroy(void* adamw) {
  auto* handle = static_cast<AdamwHandle*>(adamw);
  if (handle == nullptr) return;
  const DeviceScope scope(handle->device());
  delete handle;
}

}  // namespace sightline::cuda
