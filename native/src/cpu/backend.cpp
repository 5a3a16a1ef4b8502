// The CPU backend's table.
#include "api/backend.h"

namespace sightline {
namespace {

sl_status capabilities(sl_capability* out) {
  out->available = 1;
  out->device_count = 1;
  return SL_OK;
}

}  // namespace

const Backend kCpuBackend = {
    .capabilities = capabilities,
    .alignment_create = [](const ProjectorViews&, const AlignmentOptions&,
                           void**) { return SL_UNSUPPORTED; },
    .alignment_update = [](void*, const ProjectorViews&) { return SL_UNSUPPORTED; },
    .alignment_loss = [](const void*, const sl_context&,
                         const AlignmentCall&) { return SL_UNSUPPORTED; },
    .alignment_destroy = [](void*) {},
    .lora_forward = [](const sl_context&, const LoraCall&) { return SL_UNSUPPORTED; },
    .lora_backward = [](const sl_context&, const LoraCall&) { return SL_UNSUPPORTED; },
    .lora_merge = [](const sl_context&, const MergeCall&) { return SL_UNSUPPORTED; },
    .adamw_create = [](const AdamwTensor*, int64_t, void**) { return SL_UNSUPPORTED; },
    .adamw_step = [](void*, const sl_context&, const AdamwStep&) { return SL_UNSUPPORTED; },
    .adamw_get_steps = [](const void*, int64_t*) { return SL_UNSUPPORTED; },
    .adamw_set_steps = [](void*, const int64_t*) { return SL_UNSUPPORTED; },
    .adamw_destroy = [](void*) {},
};

}  // namespace sightline
