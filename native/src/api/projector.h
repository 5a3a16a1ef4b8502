// The projector as an argument: its description, its parameters, and tensors like them.
#pragma once

#include "api/arguments.h"

namespace sightline {

// What messages call a set of the projector's tensors, and the layers in it.
struct ProjectorName {
  const char* name;
  const char* layers;
};
inline constexpr ProjectorName kWeights{"weights", "weights.layers"};
inline constexpr ProjectorName kGradWeights{"grad_weights", "grad_weights.layers"};

// What a handle keeps of the parameters it was made of; pointers in `views` are only compared with
// null.
struct ProjectorShape {
  ProjectorOptions options;
  ProjectorViews views;
  sl_device device;
  sl_dtype dtype;
};

sl_status check_description(const sl_projector_desc* desc, ProjectorOptions* options);

// Parameters of a new projector. `shape` holds its options and receives the rest.
sl_status check_parameters(const sl_projector* weights, ProjectorShape* shape);

// A second set of tensors for a projector: new weights, or gradients.
sl_status check_like(const ProjectorName& owner, const sl_projector* projector,
                     const ProjectorShape& shape);

ProjectorViews views_of(const sl_projector& projector);

// visit(arg, tensor or NULL) for every tensor that sl_projector has room for, until one fails.
template <typename Visit>
sl_status for_each_tensor(const ProjectorName& owner, const sl_projector& projector,
                          Visit&& visit) {
  SL_TRY(visit(Arg{"norm_weight", owner.name}, projector.norm_weight));
  SL_TRY(visit(Arg{"norm_bias", owner.name}, projector.norm_bias));
  for (int i = 0; i < kMaxLayers; ++i) {
    SL_TRY(visit(Arg{"weight", owner.layers, i}, projector.layers[i].weight));
    SL_TRY(visit(Arg{"bias", owner.layers, i}, projector.layers[i].bias));
  }
  return SL_OK;
}

}  // namespace sightline
