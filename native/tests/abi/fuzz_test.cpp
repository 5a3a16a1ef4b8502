// Ten thousand random, mostly invalid calls: each returns a status, a failed one has a message and
// has changed no byte, a successful one no input. Queries of sizes that no memory has.
#include "abi/calls.h"
#include "harness.h"

using namespace abi;

namespace {

CallPtr random_call(Random& random) {
  const uint64_t seed = random.bits();
  switch (random.below(9)) {
    case 0:
      return lora_call(seed, "forward");
    case 1:
      return lora_call(seed, "backward");
    case 2:
      return lora_call(seed, "delta");
    case 3:
      return merge_call(seed);
    case 4:
      return alignment_create_call(seed, random.below(2) == 1);
    case 5:
      return alignment_update_call(seed);
    case 6:
      return alignment_loss_call(seed);
    case 7:
      return adamw_create_call(seed);
    default:
      return adamw_step_call(seed);
  }
}

int64_t odd_size(Random& r) {
  const int64_t values[] = {0, 1,  2,         3,         4,
                            5, -1, INT64_MIN, INT64_MAX, static_cast<int64_t>(r.bits() >> 20)};
  return values[r.below(std::size(values))];
}

int64_t odd_stride(Random& r) {  // small ones stay within the arena
  const int64_t values[] = {0, 1, 2, 3, 5, 8, 40, 100, -1, -7, INT64_MIN, INT64_MAX, INT64_MAX / 2};
  return values[r.below(std::size(values))];
}

void break_tensor(Call& call, Random& r) {
  const std::string& name = call.names()[static_cast<size_t>(r.below(call.names().size()))];
  const std::string& other = call.names()[static_cast<size_t>(r.below(call.names().size()))];
  sl_tensor* t = call.pointer(name);
  if (t == nullptr) return;
  switch (r.below(14)) {
    case 0:
      return call.set_null(name);
    case 1:
      t->ndim = r.below(2) ? odd_int(r) : t->ndim + static_cast<int32_t>(r.below(3)) - 1;
      // The checks read as many sizes as a tensor of this rank may have; a rank within the limits
      // must therefore be backed by that many.
      if (t->ndim > 1 && t->ndim <= 8) {
        static thread_local int64_t sizes[8], strides[8];
        for (int d = 0; d < 8; ++d) sizes[d] = strides[d] = 1;
        t->shape = sizes;
        t->strides = strides;
      } else if (t->ndim == 1 && t->shape == nullptr) {
        t->ndim = 0;
      }
      return;
    case 2:
    case 3:
      if (t->ndim > 0 && t->ndim <= 3 && t->shape) t->shape[r.below(t->ndim)] = odd_size(r);
      return;
    case 4:
    case 5:
      if (t->ndim > 0 && t->ndim <= 3 && t->strides) t->strides[r.below(t->ndim)] = odd_stride(r);
      return;
    case 6:
      t->shape = nullptr;
      return;
    case 7:
      t->strides = nullptr;
      return;
    case 8:
      t->data = nullptr;
      return;
    case 9:
      t->byte_offset = r.below(2) ? static_cast<uint64_t>(r.below(64)) : r.bits() | 1ull << 63;
      return;
    case 10:
      t->device.type = odd_int(r);
      return;
    case 11:
      t->device.id = odd_int(r);
      return;
    case 12:
      t->dtype = r.below(2) ? kBFloat16
                            : sl_dtype{static_cast<uint8_t>(r.below(6)),
                                       static_cast<uint8_t>(8 << r.below(4)),
                                       static_cast<uint16_t>(r.below(3))};
      return;
    default:
      return call.alias(name, other);  // one tensor for two arguments
  }
}

}  // namespace

TEST(random_calls_compute_or_are_refused) {
  Random random(2024);
  sl_capability cuda;
  CHECK_EQ(sl_capabilities(SL_CUDA, &cuda), SL_OK);
  const bool no_cuda = cuda.available == 0;
  int counts[6] = {};
  for (int i = 0; i < 10000; ++i) {
    CallPtr call = random_call(random);
    const int64_t breakages = random.below(4);
    for (int64_t b = 0; b < breakages; ++b) {
      if (!call->scalars.empty() && random.below(3) == 0) {
        call->scalars[static_cast<size_t>(random.below(call->scalars.size()))](random);
      } else {
        break_tensor(*call, random);
      }
    }
    const bool moved = no_cuda && random.below(50) == 0;
    if (moved) call->move_to_cuda();
    bool kept = false;
    const sl_status status = call->run(&kept);
    CHECK(kept);
    CHECK(status >= SL_OK && status <= SL_INTERNAL);
    CHECK(status != SL_INTERNAL && status != SL_UNSUPPORTED);
    ++counts[status];
    if (status != SL_OK) CHECK(std::strchr(sl_last_error(), ':') != nullptr);
    if (breakages == 0 && !moved) CHECK_EQ(status, SL_OK);
    if (moved) CHECK(status != SL_OK);
  }
  std::printf("ok %d, invalid %d, unavailable %d\n", counts[SL_OK], counts[SL_INVALID_ARGUMENT],
              counts[SL_UNAVAILABLE]);
  CHECK_GE(counts[SL_OK], 2500);
  CHECK_GE(counts[SL_INVALID_ARGUMENT], 5000);
  if (no_cuda) CHECK_GE(counts[SL_UNAVAILABLE], 30);
}

// Rows repeated by strides of 0 have any size without memory. What a query answers holds at least T
// of both linears, without wrapping around.
TEST(queries_of_any_size_are_answered_or_refused) {
  constexpr int64_t kMost = int64_t{1} << 26;
  const int64_t sizes[] = {1,         7,         8191,      kMost - 1, kMost,
                           kMost + 1, 1ll << 32, 1ll << 58, INT64_MAX};
  Random random(2025);
  int answered = 0;
  for (int i = 0; i < 3000; ++i) {
    CallPtr call = lora_call(random.bits(), "backward");
    const auto size = [&] { return sizes[random.below(random.below(4) ? 5 : std::size(sizes))]; };
    const auto repeat = [&](const std::string& name, const std::vector<int64_t>& shape) {
      sl_tensor& t = call->at(name);
      for (size_t d = 0; d < shape.size(); ++d) {
        t.shape[d] = shape[d];
        t.strides[d] = d + 1 == shape.size() ? 1 : 0;
      }
    };
    const int64_t b = random.below(2) ? 1 : 7, t = size(), k = size(), n = size(), r = size();
    repeat("x", {b, t, k});
    call->set_null("grad_x");
    for (const char* linear : {"linears[0].", "linears[1]."}) {
      const std::string l = linear;
      repeat(l + "weight", {n, k});
      repeat(l + "bias", {n});
      repeat(l + "a", {r, k});
      repeat(l + "b", {n, r});
      repeat(l + "grad_y", {b, t, n});
      for (const char* unwanted : {"s", "grad_a", "grad_b"}) call->set_null(l + unwanted);
    }
    call->context.workspace_query = &call->workspace_needed;
    bool kept = false;
    const sl_status status = call->run(&kept);
    CHECK(kept);
    const bool fits = std::max({k, n, r}) <= kMost && t <= kMost / b;
    CHECK_EQ(status, fits ? SL_OK : SL_INVALID_ARGUMENT);
    if (status != SL_OK) continue;
    ++answered;
    CHECK_GE(call->workspace_needed, static_cast<uint64_t>(b * t * r) * 2 * 4);
    CHECK_LE(call->workspace_needed, static_cast<uint64_t>(INT64_MAX));
  }
  CHECK_GE(answered, 300);
}

TEST_MAIN()
