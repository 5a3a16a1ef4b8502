// LoRA linears with fp16 products.
#include "cuda/lora/backward.cuh"
#include "cuda/lora/forward.cuh"

namespace sightline::cuda {

template sl_status typed_lora_forward<Fp16>(const Device&, const sl_context&, const LoraCall&);
template sl_status typed_lora_backward<Fp16>(const Device&, const sl_context&, const LoraCall&);

}  // namespace sightline::cuda
