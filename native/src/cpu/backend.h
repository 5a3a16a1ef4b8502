// The CPU backend's functions, see Backend in api/backend.h.
#pragma once

#include "api/backend.h"

namespace sightline::cpu {

sl_status alignment_create(const ProjectorViews& weights, const ProjectorOptions& options,
                           void** out);
sl_status alignment_update(void* alignment, const sl_context& context,
                           const ProjectorViews& weights);
sl_status alignment_loss(const void* alignment, const sl_context& context,
                         const AlignmentCall& call);
void alignment_destroy(void* alignment);

sl_status lora_forward(const sl_context& context, const LoraCall& call);
sl_status lora_backward(const sl_context& context, const LoraCall& call);
sl_status lora_merge(const sl_context& context, const MergeCall& call);

sl_status adamw_create(const AdamwTensor* tensors, int64_t count, void** out);
sl_status adamw_step(void* adamw, const sl_context& context, const AdamwStep& step);
sl_status adamw_get_steps(const void* adamw, int64_t* steps);
sl_status adamw_set_steps(void* adamw, const int64_t* steps);
void adamw_destroy(void* adamw);

}  // namespace sightline::cpu
