// A stand-in for libsightline_cuda, so that the way to it can be tested where no GPU is: one
// library that works, one of another version (FAKE_VERSION), one without the symbol (FAKE_NOTHING).
#include <cstring>

#include "api/backend.h"

#ifndef FAKE_VERSION
#define FAKE_VERSION sightline::kBackendVersion
#endif

namespace {

using namespace sightline;

[[maybe_unused]] const BackendHost* host = nullptr;

[[maybe_unused]] constexpr Backend kFake = {
    .version = FAKE_VERSION,
    .capabilities =
        [](sl_capability* out) {
          out->available = 1;
          out->device_count = 2;
          std::strcpy(out->implementation, "fake");
          return SL_OK;
        },
    .alignment_create = nullptr,
    .alignment_update = nullptr,
    .alignment_loss = nullptr,
    .alignment_destroy = nullptr,
    .lora_forward =
        [](const sl_context&, const LoraCall& call) {
          return call.count == 1 ? host->set_error(SL_UNSUPPORTED, "fake: says why") : SL_OK;
        },
    .lora_backward = [](const sl_context&, const LoraCall&) { return SL_UNSUPPORTED; },
    .lora_merge = [](const sl_context&, const MergeCall&) { return SL_OUT_OF_MEMORY; },
    .adamw_create = nullptr,
    .adamw_step = nullptr,
    .adamw_get_steps = nullptr,
    .adamw_set_steps = nullptr,
    .adamw_destroy = nullptr,
};

}  // namespace

#ifndef FAKE_NOTHING
extern "C" SL_API const sightline::Backend* sightline_backend(const sightline::BackendHost* h) {
  host = h;
  return &kFake;
}
#endif
