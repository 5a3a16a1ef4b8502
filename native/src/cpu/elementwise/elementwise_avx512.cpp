#include <cstddef>

#include "common/nan.h"
#include "common/philox.h"
#include "cpu/elementwise/tables.h"

namespace sightline::cpu {
namespace {

#include "cpu/elementwise/elementwise.inc"

}  // namespace

const ElementwiseKernels kElementwiseAvx512 = {adamw, grad_statistics, add_stochastic};

}  // namespace sightline::cpu
