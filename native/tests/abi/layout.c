/* Prints size and offset of every public struct and field, and the value of every constant. What it
 * prints is compared with abi.txt: programs that were built before a change run on after it. */
#include <sightline/sightline.h>
#include <stddef.h>
#include <stdio.h>

#define STRUCT(type) printf("struct %s size %zu\n", #type, sizeof(type))
#define FIELD(type, field)                                                      \
  printf("  %s.%s offset %zu size %zu\n", #type, #field, offsetof(type, field), \
         sizeof(((type*)0)->field))
#define CONSTANT(name) printf("constant %s %d\n", #name, (int)name)

int main(void) {
  STRUCT(sl_device);
  FIELD(sl_device, type);
  FIELD(sl_device, id);
  STRUCT(sl_dtype);
  FIELD(sl_dtype, code);
  FIELD(sl_dtype, bits);
  FIELD(sl_dtype, lanes);
  STRUCT(sl_tensor);
  FIELD(sl_tensor, data);
  FIELD(sl_tensor, device);
  FIELD(sl_tensor, ndim);
  FIELD(sl_tensor, dtype);
  FIELD(sl_tensor, shape);
  FIELD(sl_tensor, strides);
  FIELD(sl_tensor, byte_offset);
  STRUCT(sl_context);
  FIELD(sl_context, stream);
  FIELD(sl_context, num_threads);
  FIELD(sl_context, fp32_precision);
  FIELD(sl_context, workspace);
  FIELD(sl_context, workspace_bytes);
  FIELD(sl_context, workspace_query);
  STRUCT(sl_capability);
  FIELD(sl_capability, available);
  FIELD(sl_capability, device_count);
  FIELD(sl_capability, max_threads);
  FIELD(sl_capability, native_bf16);
  FIELD(sl_capability, implementation);
  FIELD(sl_capability, unavailability_cause);
  STRUCT(sl_projector_layer);
  FIELD(sl_projector_layer, weight);
  FIELD(sl_projector_layer, bias);
  STRUCT(sl_projector);
  FIELD(sl_projector, norm_weight);
  FIELD(sl_projector, norm_bias);
  FIELD(sl_projector, layers);
  STRUCT(sl_projector_desc);
  FIELD(sl_projector_desc, size);
  FIELD(sl_projector_desc, layers);
  FIELD(sl_projector_desc, norm);
  FIELD(sl_projector_desc, activation);
  FIELD(sl_projector_desc, norm_eps);
  FIELD(sl_projector_desc, dropout);
  FIELD(sl_projector_desc, compute);
  FIELD(sl_projector_desc, trainable);
  STRUCT(sl_alignment_args);
  FIELD(sl_alignment_args, hidden);
  FIELD(sl_alignment_args, teacher);
  FIELD(sl_alignment_args, token_weight);
  FIELD(sl_alignment_args, grad_scale);
  FIELD(sl_alignment_args, loss);
  FIELD(sl_alignment_args, cosine);
  FIELD(sl_alignment_args, grad_hidden);
  FIELD(sl_alignment_args, grad_weights);
  FIELD(sl_alignment_args, accumulate_hidden);
  FIELD(sl_alignment_args, accumulate_weights);
  FIELD(sl_alignment_args, training);
  FIELD(sl_alignment_args, dropout_seed);
  STRUCT(sl_lora_linear);
  FIELD(sl_lora_linear, weight);
  FIELD(sl_lora_linear, bias);
  FIELD(sl_lora_linear, a);
  FIELD(sl_lora_linear, b);
  FIELD(sl_lora_linear, scale);
  FIELD(sl_lora_linear, dropout_seed);
  FIELD(sl_lora_linear, y);
  FIELD(sl_lora_linear, s);
  FIELD(sl_lora_linear, grad_y);
  FIELD(sl_lora_linear, grad_a);
  FIELD(sl_lora_linear, grad_b);
  STRUCT(sl_lora_args);
  FIELD(sl_lora_args, x);
  FIELD(sl_lora_args, linears);
  FIELD(sl_lora_args, count);
  FIELD(sl_lora_args, dropout);
  FIELD(sl_lora_args, grad_x);
  FIELD(sl_lora_args, accumulate_x);
  FIELD(sl_lora_args, accumulate_weights);
  STRUCT(sl_lora_merge_args);
  FIELD(sl_lora_merge_args, weight);
  FIELD(sl_lora_merge_args, a);
  FIELD(sl_lora_merge_args, b);
  FIELD(sl_lora_merge_args, scale);
  FIELD(sl_lora_merge_args, rounding);
  FIELD(sl_lora_merge_args, seed);
  STRUCT(sl_adamw_param);
  FIELD(sl_adamw_param, param);
  FIELD(sl_adamw_param, exp_avg);
  FIELD(sl_adamw_param, exp_avg_sq);
  FIELD(sl_adamw_param, master);
  FIELD(sl_adamw_param, remainder);
  FIELD(sl_adamw_param, group);
  STRUCT(sl_adamw_group);
  FIELD(sl_adamw_group, lr);
  FIELD(sl_adamw_group, beta1);
  FIELD(sl_adamw_group, beta2);
  FIELD(sl_adamw_group, eps);
  FIELD(sl_adamw_group, weight_decay);
  STRUCT(sl_adamw_step_args);
  FIELD(sl_adamw_step_args, grads);
  FIELD(sl_adamw_step_args, count);
  FIELD(sl_adamw_step_args, groups);
  FIELD(sl_adamw_step_args, group_count);
  FIELD(sl_adamw_step_args, lr);
  FIELD(sl_adamw_step_args, grad_scale);
  FIELD(sl_adamw_step_args, max_grad_norm);
  FIELD(sl_adamw_step_args, skip_nonfinite);
  FIELD(sl_adamw_step_args, zero_grads);
  FIELD(sl_adamw_step_args, report);
  CONSTANT(SL_OK);
  CONSTANT(SL_INVALID_ARGUMENT);
  CONSTANT(SL_UNSUPPORTED);
  CONSTANT(SL_UNAVAILABLE);
  CONSTANT(SL_OUT_OF_MEMORY);
  CONSTANT(SL_INTERNAL);
  CONSTANT(SL_CPU);
  CONSTANT(SL_CUDA);
  CONSTANT(SL_FLOAT);
  CONSTANT(SL_BFLOAT);
  CONSTANT(SL_FP32_IEEE);
  CONSTANT(SL_FP32_TF32);
  CONSTANT(SL_NORM_NONE);
  CONSTANT(SL_LAYER_NORM);
  CONSTANT(SL_RMS_NORM);
  CONSTANT(SL_ACTIVATION_NONE);
  CONSTANT(SL_SILU);
  CONSTANT(SL_GELU);
  CONSTANT(SL_GELU_TANH);
  CONSTANT(SL_RELU);
  CONSTANT(SL_ROUND_NEAREST);
  CONSTANT(SL_ROUND_STOCHASTIC);
  return 0;
}
