// LoRA linears y = x W^T + bias + scale (drop(x) A^T) B^T: the CPU backend's entries.
#pragma once

#include "api/backend.h"

namespace sightline::cpu {

sl_status lora_forward(const sl_context& context, const LoraCall& call);
sl_status lora_backward(const sl_context& context, const LoraCall& call);
sl_status lora_merge(const sl_context& context, const MergeCall& call);

}  // namespace sightline::cpu
