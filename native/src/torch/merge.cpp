// torch.ops.sightline.lora_merge_ and lora_unmerge_: sl_lora_merge and its inverse on torch's
// tensors.
#include "torch/operators.h"
#include "torch/values.h"

namespace sightline::torch_ops {
namespace {

using Merge = decltype(&sl_lora_merge);

void merge_with(Merge merge, StableValue* values) {
  Stack stack(values, "TTTfbi");
  Tensor weight = stack.tensor(), a = stack.tensor(), b = stack.tensor();
  const double scale = stack.number();
  const bool stochastic = stack.boolean();
  const auto seed = static_cast<uint64_t>(stack.integer());
  sl_tensor w = weight.write_view();
  const sl_tensor a_view = a.read_view(), b_view = b.read_view();
  Context(weight).run([&](const sl_context* context) {
    return merge(context, &w, &a_view, &b_view, scale,
                 stochastic ? SL_ROUND_STOCHASTIC : SL_ROUND_NEAREST, seed);
  });
}

void merge(StableValue* values, uint64_t, uint64_t) { merge_with(sl_lora_merge, values); }
void unmerge(StableValue* values, uint64_t, uint64_t) { merge_with(sl_lora_unmerge, values); }

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
