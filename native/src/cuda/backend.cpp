// The CUDA backend's table, as libsightline_cuda hands it to libsightline. Calls without a kernel
// in this build say so.
#include "api/backend.h"

#include <cstdarg>
#include <cstdio>

#include "cuda/alignment/alignment.h"
#include "cuda/probe.h"

namespace sightline {
namespace {

const BackendHost* host = nullptr;

sl_status no_kernel(const char* what) {
  return set_error(SL_UNSUPPORTED, "%s: this build has no CUDA kernel for it; use CPU tensors",
                   what);
}

constexpr Backend kCudaBackend = {
    .capabilities = cuda::capabilities,
    .alignment_create = cuda::alignment_create,
    .alignment_update = cuda::alignment_update,
    .alignment_loss = cuda::alignment_loss,
    .alignment_destroy = cuda::alignment_destroy,
    .lora_forward = [](const sl_context&, const LoraCall&) { return no_kernel("sl_lora_forward"); },
    .lora_backward = [](const sl_context&,
                        const LoraCall&) { return no_kernel("sl_lora_backward"); },
    .lora_merge = [](const sl_context&, const MergeCall&) { return no_kernel("sl_lora_merge"); },
    .adamw_create = [](const AdamwTensor*, int64_t,
                       void**) { return no_kernel("sl_adamw_create"); },
    .adamw_step = [](void*, const sl_context&,
                     const AdamwStep&) { return no_kernel("sl_adamw_step"); },
    .adamw_get_steps = [](const void*, int64_t*) { return no_kernel("sl_adamw_get_steps"); },
    .adamw_set_steps = [](void*, const int64_t*) { return no_kernel("sl_adamw_set_steps"); },
    .adamw_destroy = [](void*) {},
};

}  // namespace

// libsightline's message storage, not a second one of this library.
sl_status set_error(sl_status status, const char* format, ...) {
  char message[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  return host->set_error(status, message);
}

}  // namespace sightline

extern "C" SL_API const sightline::Backend* sightline_backend(const sightline::BackendHost* host) {
  sightline::host = host;
  return &sightline::kCudaBackend;
}
