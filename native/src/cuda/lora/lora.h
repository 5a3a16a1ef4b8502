// LoRA linears on CUDA: the backend's entries (see Backend in api/backend.h). Nothing waits for the
// device; scratch comes from the context or from the stream's cache.
#pragma once

#include "api/backend.h"
#include "cuda/runtime/device.h"

namespace sightline::cuda {

sl_status lora_forward(const sl_context& context, const LoraCall& call);
sl_status lora_backward(const sl_context& context, const LoraCall& call);
sl_status lora_merge(const sl_context& context, const MergeCall& call);

// One element type of x and of the products: fp32, bf16.
template <class T>
sl_status typed_lora_forward(const Device& device, const sl_context& context, const LoraCall& call);
template <class T>
sl_status typed_lora_backward(const Device& device, const sl_context& context,
                              const LoraCall& call);

}  // namespace sightline::cuda
