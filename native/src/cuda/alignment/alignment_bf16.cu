// The alignment chain with bf16 products.
#include "cuda/alignment/handle.cuh"

namespace sightline::cuda {

template std::unique_ptr<AlignmentHandle> make_alignment<Bf16>(int, const ProjectorViews&,
                                                               const ProjectorOptions&, sl_status*);

}  // namespace sightline::cuda
