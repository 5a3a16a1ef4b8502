// torch.ops.sightline.adamw_*: sl_adamw_* on torch's tensors.
#include <map>
#include <memory>
#include <mutex>

#include "torch/operators.h"
#include "torch/values.h"

namespace sightline::torch_ops {
namespace {

// An sl_adamw and the tensors whose memory it keeps the addresses of.
struct Optimizer {
  sl_adamw* handle = nullptr;
  std::vector<Tensor> params, exp_avg, exp_avg_sq, master, remainder;
  std::mutex mutex;  // one step at a time

  Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;
  ~Optimizer() { sl_adamw_destroy(handle); }
};

struct Optimizers {
  std::mutex mutex;
  std::map<int64_t, std::shared_ptr<Optimizer>> live;
  int64_t last = 0;
};

Optimizers& optimizers() {
  static auto* instance = new Optimizers;  // outlives every static destructor
  return *instance;
}

std::shared_ptr<Optimizer> find(int64_t number) {
  const std::lock_guard<std::mutex> lock(optimizers().mutex);
  const auto it = optimizers().live.find(number);
  if (it == optimizers().live.end()) {
    refuse("optimizer: " + std::to_string(number) + ", expected a live handle from adamw_create");
  }
  return it->second;
}

void check_count(const char* name, size_t found, size_t expected, const char* of) {
  if (found == expected) return;
  refuse(std::string(name) + ": " + std::to_string(found) + " items, expected " +
         std::to_string(expected) + ", one for each " + of);
}

void create(StableValue* values, uint64_t, uint64_t) {
  Stack stack(values, "LLLllI");
  auto optimizer = std::make_shared<Optimizer>();
  optimizer->params = stack.tensors();
  optimizer->exp_avg = stack.tensors();
  optimizer->exp_avg_sq = stack.tensors();
  optimizer->master = stack.tensors();
  optimizer->remainder = stack.tensors();
  const std::vector<int64_t> groups = stack.integers();
  const size_t count = optimizer->params.size();
  check_count("exp_avg", optimizer->exp_avg.size(), count, "of params");
  check_count("exp_avg_sq", optimizer->exp_avg_sq.size(), count, "of params");
  check_count("master", optimizer->master.size(), count, "of params");
  check_count("remainder", optimizer->remainder.size(), count, "of params");
  check_count("group", groups.size(), count, "of params");

  std::vector<sl_tensor> views(5 * count);
  std::vector<sl_adamw_param> params(count);
  for (size_t i = 0; i < count; ++i) {
    sl_tensor* view = &views[5 * i];
    view[0] = optimizer->params[i].write_view();
    view[1] = optimizer->exp_avg[i].write_view();
    view[2] = optimizer->exp_avg_sq[i].write_view();
    if (optimizer->master[i]) view[3] = optimizer->master[i].write_view();
    if (optimizer->remainder[i]) view[4] = optimizer->remainder[i].write_view();
    if (groups[i] < 0 || groups[i] > INT32_MAX) {
      refuse("group: " + std::to_string(groups[i]) + ", expected an index of a group");
    }
    params[i] = {&view[0],
                 &view[1],
                 &view[2],
                 optimizer->master[i] ? &view[3] : nullptr,
                 optimizer->remainder[i] ? &view[4] : nullptr,
                 static_cast<int32_t>(groups[i])};
  }
  const Context context(optimizer->params[0]);  // the device
  check(sl_adamw_create(params.data(), static_cast<int64_t>(count), &optimizer->handle));
  const std::lock_guard<std::mutex> lock(optimizers().mutex);
  const int64_t number = ++optimizers().last;
  optimizers().live.emplace(number, std::move(optimizer));
  stack.result(number);
}

void destroy(StableValue* values, uint64_t, uint64_t) {
  Stack stack(values, "i");
  const int64_t number = stack.integer();
  std::shared_ptr<Optimizer> last;  // freed outside the lock
  const std::lock_guard<std::mutex> lock(optimizers().mutex);
  const auto it = optimizers().live.find(number);
  if (it == optimizers().live.end()) return;
  last = std::move(it->second);
  optimizers().live.erase(it);
}

// A parameter whose memory moved (param.data = …, .to(…)) would be updated where it was.
void check_same_memory(Optimizer& optimizer, std::vector<Tensor>& params) {
  check_count("params", params.size(), optimizer.params.size(), "param of adamw_create");
  for (size_t i = 0; i < params.size(); ++i) {
    if (params[i].read_view().data == optimizer.params[i].read_view().data) continue;
    refuse("params[" + std::to_string(i) +
           "]: memory other than at adamw_create, expected the tensor given there; create the "
           "optimizer anew after moving or replacing parameters");
  }
}

void step(StableValue* values, uint64_t, uint64_t) {
  Stack stack(values, "iLLIFFFFFffbb");
  const std::shared_ptr<Optimizer> optimizer = find(stack.integer());
  std::vector<Tensor> params = stack.tensors(), grads = stack.tensors();
  const std::vector<int64_t> with_grad = stack.integers();
  const std::vector<double> lr = stack.numbers(), beta1 = stack.numbers(), beta2 = stack.numbers();
  const std::vector<double> eps = stack.numbers(), weight_decay = stack.numbers();
  sl_adamw_step_args args{};
  args.grad_scale = stack.number();
  args.max_grad_norm = stack.number();
  args.skip_nonfinite = stack.boolean();
  args.zero_grads = stack.boolean();

  check_count("with_grad", with_grad.size(), grads.size(), "of grads");
  check_count("beta1", beta1.size(), lr.size(), "of lr");
  check_count("beta2", beta2.size(), lr.size(), "of lr");
  check_count("eps", eps.size(), lr.size(), "of lr");
  check_count("weight_decay", weight_decay.size(), lr.size(), "of lr");
  const std::lock_guard<std::mutex> lock(optimizer->mutex);
  check_same_memory(*optimizer, params);

  sl_tensor none{};
  none.ndim = -1;
  std::vector<sl_tensor> grad_views(params.size(), none);
  for (size_t i = 0; i < grads.size(); ++i) {
    const int64_t index = with_grad[i];
    if (index < 0 || index >= static_cast<int64_t>(params.size())) {
      refuse("with_grad[" + std::to_string(i) + "]: " + std::to_string(index) +
             ", expected an index of params, 0 to " + std::to_string(params.size() - 1));
    }
    grad_views[static_cast<size_t>(index)] = grads[i].write_view();
  }
  std::vector<sl_adamw_group> groups;
  for (size_t i = 0; i < lr.size(); ++i)
    groups.push_back({lr[i], beta1[i], beta2[i], eps[i], weight_decay[i]});
  Tensor report = Tensor::empty({4}, libtorch().aoti_torch_dtype_float32(), params[0]);
  sl_tensor report_view = report.write_view();
  args.grads = grad_views.data();
  args.count = static_cast<int64_t>(params.size());
  args.groups = groups.data();
  args.group_count = static_cast<int32_t>(groups.size());
  args.report = &report_view;
  const Context context(params[0]);
  check(sl_adamw_step(optimizer->handle, context.get(), &args));
  stack.result(std::move(report));
}

void get_steps(StableValue* values, uint64_t, uint64_t) {
  Stack stack(values, "i");
  const std::shared_ptr<Optimizer> optimizer = find(stack.integer());
  std::vector<int64_t> steps(optimizer->params.size());
  const std::lock_guard<std::mutex> lock(optimizer->mutex);
  check(sl_adamw_get_steps(optimizer->handle, steps.data(), static_cast<int64_t>(steps.size())));
  stack.result(steps);
}

void set_steps(StableValue* values, uint64_t, uint64_t) {
  Stack stack(values, "iI");
  const std::shared_ptr<Optimizer> optimizer = find(stack.integer());
  const std::vector<int64_t> steps = stack.integers();
  const std::lock_guard<std::mutex> lock(optimizer->mutex);
  check(sl_adamw_set_steps(optimizer->handle, steps.data(), static_cast<int64_t>(steps.size())));
}

}  // namespace

const Operator kAdamWOperators[] = {
    // The handle keeps all these tensors alive until adamw_destroy. group: index into the lists of
    // adamw_step_.
    {"adamw_create(Tensor[] params, Tensor[] exp_avg, Tensor[] exp_avg_sq, Tensor?[] master, "
     "Tensor?[] remainder, int[] group) -> int",
     "adamw_create", create, false},
    {"adamw_destroy(int optimizer) -> ()", "adamw_destroy", destroy, true},
    // params: those of adamw_create. grads[i] is the gradient of params[with_grad[i]]. report [4]:
    // gradient norm, clipping factor, non-finite elements, 1 if skipped.
    {"adamw_step_(int optimizer, Tensor(a!)[] params, Tensor(b!)[] grads, int[] with_grad, "
     "float[] lr, float[] beta1, float[] beta2, float[] eps, float[] weight_decay, "
     "float grad_scale=1.0, float max_grad_norm=0.0, bool skip_nonfinite=False, "
     "bool zero_grads=True) -> Tensor",
     "adamw_step_", step, false},
    {"adamw_get_steps(int optimizer) -> int[]", "adamw_get_steps", get_steps, true},
    {"adamw_set_steps(int optimizer, int[] steps) -> ()", "adamw_set_steps", set_steps, true},
    {nullptr, nullptr, nullptr, false},
};

}  // namespace sightline::torch_ops
