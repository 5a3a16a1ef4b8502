// The CUDA backend's table, as libsightline_cuda hands it to libsightline.
#include "api/backend.h"

#include <cstdarg>
#include <cstdio>

#include "cuda/adamw/adamw.h"
#include "cuda/alignment/alignment.h"
#include "cuda/lora/lora.h"
#include "cuda/probe.h"

namespace sightline {
namespace {

const BackendHost* host = nullptr;

constexpr Backend kCudaBackend = {
    .capabilities = cuda::capabilities,
    .alignment_create = cuda::alignment_create,
    .alignment_update = cuda::alignment_update,
    .alignment_loss = cuda::alignment_loss,
    .alignment_destroy = cuda::alignment_destroy,
    .lora_forward = cuda::lora_forward,
    .lora_backward = cuda::lora_backward,
    .lora_merge = cuda::lora_merge,
    .adamw_create = cuda::adamw_create,
    .adamw_step = cuda::adamw_step,
    .adamw_get_steps = cuda::adamw_get_steps,
    .adamw_set_steps = cuda::adamw_set_steps,
    .adamw_destroy = cuda::adamw_destroy,
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
