#include "api/projector.h"

#include "api/views.h"

namespace sightline {
namespace {

sl_status check_vector(const Arg& arg, const sl_tensor* tensor, const char* layout, int64_t size,
                       const char* why, const sl_tensor& first) {
  SL_TRY(check_matrix(arg, tensor, 1, 1, layout));
  SL_TRY(check_dim(arg, *tensor, 0, size, why));
  SL_TRY(check_same_dtype(arg, *tensor, first, "layers[0].weight"));
  return check_same_device(arg, *tensor, first.device, "layers[0].weight");
}

sl_status check_norm(const ProjectorName& owner, const sl_projector& projector, Norm norm) {
  const sl_tensor& first = *projector.layers[0].weight;
  const Arg weight{"norm_weight", owner.name}, bias{"norm_bias", owner.name};
  if (norm == Norm::kNone && projector.norm_weight != nullptr) {
    return invalid(weight, "given, expected NULL (desc.norm is SL_NORM_NONE)");
  }
  if (projector.norm_weight == nullptr) {
    return projector.norm_bias == nullptr ? SL_OK
                                          : invalid(bias, "given, expected NULL like norm_weight");
  }
  const auto check = [&](const Arg& arg, const sl_tensor* tensor) {
    return check_vector(arg, tensor, "[D]", first.shape[1], "columns of layers[0].weight", first);
  };
  SL_TRY(check(weight, projector.norm_weight));
  return projector.norm_bias == nullptr ? SL_OK : check(bias, projector.norm_bias);
}

sl_status check_projector(const ProjectorName& owner, const sl_projector* projector,
                          const ProjectorOptions& options) {
  SL_TRY(check_pointer({owner.name}, projector));
  for (int i = 0; i < options.layers; ++i) {
    const auto& [weight, bias] = projector->layers[i];
    const Arg arg{"weight", owner.layers, i};
    SL_TRY(check_matrix(arg, weight, 2, 2, "[out,in]"));
    for (int d = 0; d < 2; ++d) SL_TRY(check_dim_positive(arg, *weight, d));
    const sl_tensor& first = *projector->layers[0].weight;
    if (i > 0) {
      SL_TRY(check_dim(arg, *weight, 1, projector->layers[i - 1].weight->shape[0],
                       "rows of the weight before"));
      SL_TRY(check_same_dtype(arg, *weight, first, "layers[0].weight"));
      SL_TRY(check_same_device(arg, *weight, first.device, "layers[0].weight"));
    }
    if (bias != nullptr) {
      SL_TRY(check_vector({"bias", owner.layers, i}, bias, "[out]", weight->shape[0],
                          "rows of its weight", first));
    }
  }
  for (int i = options.layers; i < kMaxLayers; ++i) {
    if (projector->layers[i].weight != nullptr || projector->layers[i].bias != nullptr) {
      return invalid({projector->layers[i].weight != nullptr ? "weight" : "bias", owner.layers, i},
                     "given, expected NULL (desc.layers is %d)", options.layers);
    }
  }
  return check_norm(owner, *projector, options.norm);
}

// The tensors of two projectors, side by side.
sl_status check_same(const Arg& arg, const sl_tensor* tensor, const View2& like) {
  if ((tensor != nullptr) != static_cast<bool>(like)) {
    return invalid(arg, "%s as in sl_alignment_create",
                   tensor != nullptr ? "given, expected NULL" : "NULL, expected a tensor");
  }
  if (tensor == nullptr) return SL_OK;
  constexpr const char* kWhy = "as in sl_alignment_create";
  if (tensor->ndim == 2) SL_TRY(check_dim(arg, *tensor, 0, like.rows, kWhy));
  return check_dim(arg, *tensor, tensor->ndim - 1, like.cols, kWhy);
}

}  // namespace

sl_status check_description(const sl_projector_desc* desc, ProjectorOptions* options) {
  SL_TRY(check_pointer({"desc"}, desc));
  if (desc->size != sizeof *desc) {
    return invalid({"size", "desc"}, "%u, expected sizeof(sl_projector_desc) = %zu", desc->size,
                   sizeof *desc);
  }
  if (desc->layers < 1 || desc->layers > kMaxLayers) {
    return invalid({"layers", "desc"}, "%d, expected 1 to %d", desc->layers, kMaxLayers);
  }
  SL_TRY(check_choice({"norm", "desc"}, desc->norm, kNorms, "sl_norm"));
  SL_TRY(check_choice({"activation", "desc"}, desc->activation, kActivations, "sl_activation"));
  SL_TRY(check_dtype({"compute", "desc"}, desc->compute));
  SL_TRY(check_flag({"trainable", "desc"}, desc->trainable));
  if (desc->norm != SL_NORM_NONE) SL_TRY(check_positive({"norm_eps", "desc"}, desc->norm_eps));
  SL_TRY(check_probability({"dropout", "desc"}, desc->dropout));
  if (desc->dropout != 0. && desc->trainable == 0) {
    return invalid({"dropout", "desc"}, "%g, expected 0 for a frozen projector (trainable = 0)",
                   desc->dropout);
  }
  options->compute = dtype_of(desc->compute);
  options->trainable = desc->trainable == 1;
  options->layers = desc->layers;
  options->norm = static_cast<Norm>(desc->norm);
  options->activation = static_cast<Activation>(desc->activation);
  options->norm_eps = static_cast<float>(desc->norm_eps);
  options->dropout = static_cast<float>(desc->dropout);
  return SL_OK;
}

sl_status check_parameters(const sl_projector* weights, ProjectorShape* shape) {
  SL_TRY(check_projector(kWeights, weights, shape->options));
  shape->views = views_of(*weights);
  shape->device = weights->layers[0].weight->device;
  shape->dtype = weights->layers[0].weight->dtype;
  return SL_OK;
}

sl_status check_like(const ProjectorName& owner, const sl_projector* projector,
                     const ProjectorShape& shape) {
  SL_TRY(check_projector(owner, projector, shape.options));
  const ProjectorViews& v = shape.views;
  SL_TRY(check_same({"norm_weight", owner.name}, projector->norm_weight, v.norm_weight));
  SL_TRY(check_same({"norm_bias", owner.name}, projector->norm_bias, v.norm_bias));
  for (int i = 0; i < shape.options.layers; ++i) {
    const auto& [weight, bias] = projector->layers[i];
    SL_TRY(check_same({"weight", owner.layers, i}, weight, v.layers[i].weight));
    SL_TRY(check_same({"bias", owner.layers, i}, bias, v.layers[i].bias));
  }
  return check_same_device({"weight", owner.layers, 0}, *projector->layers[0].weight, shape.device,
                           "the projector");
}

ProjectorViews views_of(const sl_projector& projector) {
  ProjectorViews views{view2(projector.norm_weight), view2(projector.norm_bias), {}};
  for (int i = 0; i < kMaxLayers; ++i) {
    views.layers[i] = {view2(projector.layers[i].weight), view2(projector.layers[i].bias)};
  }
  return views;
}

}  // namespace sightline
