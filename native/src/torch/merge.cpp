// torch.ops.sightline.lora_merge_ and lora_unmerge_: sl_lora_merge on torch's tensors.
#include "torch/operators.h"
#include "torch/values.h"

namespace sightline::torch_ops {
namespace {

void merge_by(double sign, StableValue* values) {
  Stack stack(values, "TTTfbi");
  Tensor weight = stack.tensor(), a = stack.tensor(), b = stack.tensor();
  sl_lora_merge_args args{};
  args.scale = sign * stack.number();
  args.rounding = stack.boolean() ? SL_ROUND_STOCHASTIC : SL_ROUND_NEAREST;
  args.seed = static_cast<uint64_t>(stack.integer());
  sl_tensor w = weight.write_view();
  const sl_tensor a_view = a.read_view(), b_view = b.read_view();
  args.weight = &w, args.a = &a_view, args.b = &b_view;
  Context(weight).run([&](const sl_context* context) { return sl_lora_merge(context, &args); });
}

void merge(StableValue* values, uint64_t, uint64_t) { merge_by(1, values); }
void unmerge(StableValue* values, uint64_t, uint64_t) { merge_by(-1, values); }

}  // namespace

const Operator kMergeOperators[] = {
    {"lora_merge_(Tensor(a!) weight, Tensor a, Tensor b, float scale, bool stochastic=False, "
     "int seed=0) -> ()",
     "lora_merge_", merge, false},
    {"lora_unmerge_(Tensor(a!) weight, Tensor a, Tensor b, float scale, bool stochastic=False, "
     "int seed=0) -> ()",
     "lora_unmerge_", unmerge, false},
    {nullptr, nullptr, nullptr, false},
};

}  // namespace sightline::torch_ops
