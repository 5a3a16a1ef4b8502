// LoRA linears with fp32 products.
#include "cuda/lora/backward.cuh"
#include "cuda/lora/forward.cuh"

namespace sightline::cuda {

template sl_status typed_lora_forward<float>(const Device&, const sl_context&, const LoraCall&);
template sl_status typed_lora_backward<float>(const Device&, const sl_context&, const LoraCall&);

}  // namespace sightline::cuda
