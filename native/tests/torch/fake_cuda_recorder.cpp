// A stand-in for libsightline_cuda that asks for kRecorderBytes of workspace for a merge and notes
// under which context it was called.
#include "fake_cuda_recorder.h"
#include "api/backend.h"

namespace {

using namespace sightline;

Recorded recorded;

sl_status lora_merge(const sl_context& context, const MergeCall&) {
  if (context.workspace_query != nullptr) {
    ++recorded.queries;
    *context.workspace_query = kRecorderBytes;
    return kWorkspaceQueried;
  }
  ++recorded.calls;
  recorded.context = context;
  return recorded.answer;
}

constexpr Backend kRecorder = {
    .capabilities =
        [](sl_capability* out) {
          out->available = 1;
          out->device_count = 2;
          return SL_OK;
        },
    .alignment_create = nullptr,
    .alignment_update = nullptr,
    .alignment_loss = nullptr,
    .alignment_destroy = nullptr,
    .lora_forward = nullptr,
    .lora_backward = nullptr,
    .lora_merge = lora_merge,
    .adamw_create = nullptr,
    .adamw_step = nullptr,
    .adamw_get_steps = nullptr,
    .adamw_set_steps = nullptr,
    .adamw_destroy = nullptr,
};

}  // namespace

extern "C" SL_API Recorded* fake_recorded() { return &recorded; }
extern "C" SL_API const sightline::Backend* sightline_backend(const sightline::BackendHost*) {
  return &kRecorder;
}
