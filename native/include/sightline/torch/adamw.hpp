// AdamW over any number of parameters in one call, as a torch::optim::Optimizer.
#ifndef SIGHTLINE_TORCH_ADAMW_HPP
#define SIGHTLINE_TORCH_ADAMW_HPP

#include <memory>
#include <sightline/torch/context.hpp>

namespace sightline {

// What a step does beside torch::optim::AdamWOptions, for all groups.
struct AdamWStepOptions {
  TORCH_ARG(double, max_grad_norm) = 0;     // > 0: clips the global norm of the gradients
  TORCH_ARG(bool, skip_nonfinite) = false;  // changes nothing where a gradient has NaN or infinity
  TORCH_ARG(bool, remainder) = false;       // of a bf16 parameter, in place of an fp32 master copy
};

struct AdamWParamState : torch::optim::OptimizerCloneableParamState<AdamWParamState> {
  TORCH_ARG(int64_t, step) = 0;
  TORCH_ARG(torch::Tensor, exp_avg);  // fp32, as exp_avg_sq and master
  TORCH_ARG(torch::Tensor, exp_avg_sq);
  TORCH_ARG(torch::Tensor, master);     // of a bf16 parameter
  TORCH_ARG(torch::Tensor, remainder);  // or this: int16

 public:
  void serialize(torch::serialize::InputArchive& archive) override {
    c10::IValue count;
    archive.read("step", count);
    step_ = count.toInt();
    archive.read("exp_avg", exp_avg_, /*is_buffer=*/true);
    archive.read("exp_avg_sq", exp_avg_sq_, /*is_buffer=*/true);
    archive.try_read("master", master_, /*is_buffer=*/true);
    archive.try_read("remainder", remainder_, /*is_buffer=*/true);
  }
  void serialize(torch::serialize::OutputArchive& archive) const override {
    archive.write("step", c10::IValue(step_));
    archive.write("exp_avg", exp_avg_, /*is_buffer=*/true);
    archive.write("exp_avg_sq", exp_avg_sq_, /*is_buffer=*/true);
    if (master_.defined()) archive.write("master", master_, /*is_buffer=*/true);
    if (remainder_.defined()) archive.write("remainder", remainder_, /*is_buffer=*/true);
  }
};

// Groups, learning-rate schedulers, zero_grad, torch::save and torch::load are torch's. Parameters
// are contiguous and on one device; amsgrad is refused.
class AdamW : public torch::optim::Optimizer {
 public:
  explicit AdamW(const std::vector<torch::optim::OptimizerParamGroup>& groups,
                 const torch::optim::AdamWOptions& defaults = {},
                 const AdamWStepOptions& step_options = {})
      : Optimizer(groups, std::make_unique<torch::optim::AdamWOptions>(defaults)),
        step_options_(step_options) {}
  explicit AdamW(std::vector<torch::Tensor> parameters,
                 const torch::optim::AdamWOptions& defaults = {},
                 const AdamWStepOptions& step_options = {})
      : AdamW({torch::optim::OptimizerParamGroup(std::move(parameters))}, defaults, step_options) {}

  // Parameters without a gradient are left alone.
  torch::Tensor step(LossClosure closure = nullptr) override {
    torch::Tensor loss;
    if (closure) {
      const torch::AutoGradMode with_grad(true);
      loss = closure();
    }
    const torch::NoGradGuard no_grad;
    prepare();
    std::vector<sl_adamw_group> groups;
    for (const torch::optim::OptimizerParamGroup& group : param_groups()) {
      groups.push_back(group_of(group));
    }
    std::vector<torch::Tensor> gradients;  // outlive the call
    std::vector<sl_tensor> views;
    for (const torch::Tensor& parameter : parameters_) {
      const torch::Tensor& gradient = parameter.grad();
      gradients.push_back(gradient.defined() ? gradient.resolve_neg().contiguous() : gradient);
      const detail::View view(gradients.back());
      const sl_tensor* given = view;
      views.push_back(given != nullptr ? *given : sl_tensor{});
      if (given == nullptr) views.back().ndim = -1;
    }
    report_ = torch::empty({4}, parameters_[0].options().dtype(torch::kFloat));
    detail::View report_view(report_);
    sl_adamw_step_args args{};
    args.grads = views.data();
    args.count = static_cast<int64_t>(views.size());
    args.groups = groups.data();
    args.group_count = static_cast<int32_t>(groups.size());
    args.grad_scale = 1;
    args.max_grad_norm = step_options_.max_grad_norm();
    args.skip_nonfinite = step_options_.skip_nonfinite();
    args.report = report_view;
    const detail::Context context(parameters_[0]);
    detail::check(sl_adamw_step(handle_.get(), context.get(), &args));
    for (size_t i = 0; i < gradients.size(); ++i) {
      if (gradients[i].defined()) detail::written(parameters_[i]);
    }
    return loss;
  }

  // Of the last step, on the parameters' device, [4] float32: norm of the gradients before
  // clipping, clipping factor, non-finite elements, 1 if skipped. Undefined before the first.
  const torch::Tensor& report() const { return report_; }
  AdamWStepOptions& step_options() { return step_options_; }

  void save(torch::serialize::OutputArchive& archive) const override {
    read_steps();
    torch::optim::serialize<AdamWParamState, torch::optim::AdamWOptions>(archive, *this);
  }
  void load(torch::serialize::InputArchive& archive) override {
    handle_.reset();
    torch::optim::serialize<AdamWParamState, torch::optim::AdamWOptions>(archive, *this);
  }

 private:
  static sl_adamw_group group_of(const torch::optim::OptimizerParamGroup& group) {
    const auto& options = static_cast<const torch::optim::AdamWOptions&>(group.options());
    if (options.amsgrad()) detail::refuse("amsgrad: true, expected false");
    return {options.lr(), std::get<0>(options.betas()), std::get<1>(options.betas()), options.eps(),
            options.weight_decay()};
  }

  AdamWParamState& state_of(const torch::Tensor& parameter) const {
    return static_cast<AdamWParamState&>(*state_.at(parameter.unsafeGetTensorImpl()));
  }

  // A handle over the parameters as they are now: made anew when one was added, moved or loaded.
  void prepare() {
    std::vector<torch::Tensor> parameters;
    std::vector<int32_t> group_of_parameter;
    std::vector<const void*> memory;
    for (size_t g = 0; g < param_groups().size(); ++g) {
      for (const torch::Tensor& parameter : param_groups()[g].params()) {
        parameters.push_back(parameter);
        group_of_parameter.push_back(static_cast<int32_t>(g));
        memory.push_back(parameter.data_ptr());
      }
    }
    if (handle_ && memory == memory_) return;
    read_steps();
    handle_.reset();
    parameters_ = std::move(parameters);
    memory_ = std::move(memory);
    if (parameters_.empty()) detail::refuse("params: no tensors, expected at least one");

    std::vector<sl_adamw_param> params;
    std::vector<int64_t> steps;
    std::vector<detail::View> views;
    views.reserve(5 * parameters_.size());
    const auto view = [&](const torch::Tensor& tensor) -> sl_tensor* {
      return views.emplace_back(tensor);
    };
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const AdamWParamState& state = initialised(parameters_[i]);
      params.push_back({view(parameters_[i]), view(state.exp_avg()), view(state.exp_avg_sq()),
                        view(state.master()), view(state.remainder()), group_of_parameter[i]});
      steps.push_back(state.step());
    }
    const detail::Context context(parameters_[0]);  // the device
    sl_adamw* handle = nullptr;
    detail::check(sl_adamw_create(params.data(), static_cast<int64_t>(params.size()), &handle));
    handle_.reset(handle, sl_adamw_destroy);
    detail::check(sl_adamw_set_steps(handle, steps.data(), static_cast<int64_t>(steps.size())));
  }

  AdamWParamState& initialised(const torch::Tensor& parameter) {
    std::unique_ptr<torch::optim::OptimizerParamState>& slot =
        state_[parameter.unsafeGetTensorImpl()];
    if (!slot) {
      auto state = std::make_unique<AdamWParamState>();
      const auto fp32 = parameter.options().dtype(torch::kFloat);
      state->exp_avg(torch::zeros(parameter.sizes(), fp32));
      state->exp_avg_sq(torch::zeros(parameter.sizes(), fp32));
      if (parameter.scalar_type() == torch::kBFloat16) {
        if (step_options_.remainder()) {
          state->remainder(torch::zeros(parameter.sizes(), fp32.dtype(torch::kShort)));
        } else {
          state->master(parameter.detach().to(torch::kFloat).contiguous());
        }
      }
      slot = std::move(state);
    }
    return static_cast<AdamWParamState&>(*slot);
  }

  // The library counts the steps, since a skipped one is known on the device only.
  void read_steps() const {
    if (!handle_) return;
    std::vector<int64_t> steps(parameters_.size());
    detail::check(
        sl_adamw_get_steps(handle_.get(), steps.data(), static_cast<int64_t>(steps.size())));
    for (size_t i = 0; i < steps.size(); ++i) state_of(parameters_[i]).step(steps[i]);
  }

  AdamWStepOptions step_options_;
  std::vector<torch::Tensor> parameters_;  // those of the handle, in its order
  std::vector<const void*> memory_;
  std::shared_ptr<sl_adamw> handle_;
  torch::Tensor report_;
};

}  // namespace sightline

#endif  // SIGHTLINE_TORCH_ADAMW_HPP
