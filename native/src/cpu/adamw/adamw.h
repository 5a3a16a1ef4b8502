// AdamW over many tensors: the CPU backend's entries.
#pragma once

#include "api/backend.h"

namespace sightline::cpu {

sl_status adamw_create(const AdamwTensor* tensors, int64_t count, void** out);
sl_status adamw_step(void* adamw, const sl_context& context, const AdamwStep& step);
sl_status adamw_get_steps(const void* adamw, int64_t* steps);
sl_status adamw_set_steps(void* adamw, const int64_t* steps);
void adamw_destroy(void* adamw);

}  // namespace sightline::cpu
