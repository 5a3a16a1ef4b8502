// The operators of torch.ops.sightline: schema, dispatch key and kernel of each. What they compute,
// and what is asked of shapes and dtypes, stands in sightline/sightline.h; activations and their
// gradients may have any strides here, what is not contiguous in the last dimension is copied.
#pragma once

#include "torch/libtorch.h"

namespace sightline::torch_ops {

struct Operator {
  const char* schema;
  const char* name;
  BoxedKernel kernel;
  // False: computes on tensors, registered for CPU and CUDA. True: takes a handle and no tensor, so
  // that there is no device to choose by.
  bool handle_only;
};

// Ended by one whose schema is null.
extern const Operator kAlignmentOperators[];
extern const Operator kLoraOperators[];
extern const Operator kMergeOperators[];
extern const Operator kAdamWOperators[];

}  // namespace sightline::torch_ops
