// The loss as an argument.
#pragma once

#include "api/arguments.h"

namespace sightline {

// NULL describes the cosine. `batch` and `tokens` are those of the call.
sl_status check_loss(const sl_loss_desc* desc, int64_t batch, int64_t tokens, LossOptions* options);

}  // namespace sightline
