// The CUDA backend's alignment functions, see Backend in api/backend.h. A handle lives on the
// device of its weights. Creation waits for that device before and after it reads the weights;
// everything else is work on the context's stream.
#pragma once

#include <memory>

#include "api/backend.h"

namespace sightline::cuda {

sl_status alignment_create(const ProjectorViews& weights, const ProjectorOptions& options,
                           void** out);
sl_status alignment_update(void* alignment, const sl_context& context,
                           const ProjectorViews& weights);
sl_status alignment_loss(const void* alignment, const sl_context& context,
                         const AlignmentCall& call);
void alignment_destroy(void* alignment);

// One element type of the products.
class AlignmentHandle {
 public:
  virtual ~AlignmentHandle() = default;
  virtual int device() const = 0;
  virtual sl_status update(const sl_context& context, const ProjectorViews& weights) = 0;
  virtual sl_status loss(const sl_context& context, const AlignmentCall& call) const = 0;
};

// Null, with *status set and the message given, if the weights cannot be prepared. T: fp32, bf16.
template <class T>
std::unique_ptr<AlignmentHandle> make_alignment(int device, const ProjectorViews& weights,
                                                const ProjectorOptions& options, sl_status* status);

}  // namespace sightline::cuda
