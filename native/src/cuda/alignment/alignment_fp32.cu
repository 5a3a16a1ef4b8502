// The alignment chain with fp32 products.
#include "cuda/alignment/handle.cuh"

namespace sightline::cuda {

template std::unique_ptr<AlignmentHandle> make_alignment<float>(int, const ProjectorViews&,
                                                                const ProjectorOptions&,
                                                                sl_status*);

}  // namespace sightline::cuda
