// Sightline for programs that are compiled against libtorch (2.10 or later): the alignment loss and
// LoRA linear layers as differentiable functions on torch::Tensor, and AdamW, over the C ABI.
// Header-only; link libtorch and libsightline. Python, and libraries that must serve several
// versions of libtorch, use libsightline_torch instead. The names are those of the Python package.
//
//   Projector, alignment_loss     lora_linear, lora_linears, lora_delta, lora_merge_, lora_unmerge_
//   LoraLinear (a module)         AdamW (an optimizer)
//
// Tensors are float32 or bfloat16, on the CPU or CUDA; formulas and tolerances stand in
// sightline.h. Any strides are taken, but a tensor whose last dimension is not contiguous is copied
// first. On CUDA calls run on torch's current stream, take their scratch memory from torch's
// allocator, and use TF32 where torch's matrix products do.
//
// Errors are c10::Error, as torch's own: what the library refuses is a c10::ValueError (in Python:
// ValueError) whose text names the argument, the value found and the value expected; what it has no
// kernel for, and a second derivative, a c10::NotImplementedError; want of memory a
// c10::OutOfMemoryError.
#ifndef SIGHTLINE_TORCH_HPP
#define SIGHTLINE_TORCH_HPP

#include <sightline/torch/adamw.hpp>
#include <sightline/torch/alignment.hpp>
#include <sightline/torch/lora_linear.hpp>

#endif  // SIGHTLINE_TORCH_HPP
