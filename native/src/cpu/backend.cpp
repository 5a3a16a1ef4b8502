// The CPU backend's table.
#include "cpu/backend.h"

#include <omp.h>

#include <cstdio>

#include "cpu/isa.h"

namespace sightline {
namespace cpu {
namespace {

sl_status capabilities(sl_capability* out) {
  const Kernels* table = kernels();
  out->available = table != nullptr;
  out->device_count = 1;
  out->max_threads = omp_get_max_threads();
  if (table != nullptr) {
    out->native_bf16 = table->native_bf16;
    std::snprintf(out->implementation, sizeof out->implementation, "%s", table->name);
  } else {
    std::snprintf(out->unavailability_cause, sizeof out->unavailability_cause, "%s", isa_cause());
  }
  return SL_OK;
}

}  // namespace
}  // namespace cpu

const Backend kCpuBackend = {
    .capabilities = cpu::capabilities,
    .alignment_create = cpu::alignment_create,
    .alignment_update = cpu::alignment_update,
    .alignment_loss = cpu::alignment_loss,
    .alignment_destroy = cpu::alignment_destroy,
    .lora_forward = cpu::lora_forward,
    .lora_backward = cpu::lora_backward,
    .lora_merge = cpu::lora_merge,
    .adamw_create = cpu::adamw_create,
    .adamw_step = cpu::adamw_step,
    .adamw_get_steps = cpu::adamw_get_steps,
    .adamw_set_steps = cpu::adamw_set_steps,
    .adamw_destroy = cpu::adamw_destroy,
};

}  // namespace sightline
