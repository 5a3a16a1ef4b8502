// One broken argument at a time: the message that names it, and not a byte changed.
#pragma once

#include <functional>

#include "abi/calls.h"
#include "harness.h"

namespace abi {

using Break = std::function<void(Call&)>;

inline void expect(CallPtr call, const char* message, const Break& breaks) {
  breaks(*call);
  bool kept = false;
  CHECK_EQ(call->run(&kept), SL_INVALID_ARGUMENT);
  CHECK(kept);
  if (!message_has(message)) {
    harness::fail(__FILE__, __LINE__,
                  std::string("expected \"") + message + "\" in \"" + sl_last_error() + "\"");
  }
}

inline CallPtr forward() { return lora_call(1, "forward"); }
inline CallPtr backward() { return lora_call(2, "backward"); }
inline CallPtr delta() { return lora_call(3, "delta"); }
inline CallPtr loss() { return alignment_loss_call(4); }
inline CallPtr create() { return alignment_create_call(5, false); }
inline CallPtr optimizer() { return adamw_create_call(6); }
inline CallPtr step() { return adamw_step_call(7); }

}  // namespace abi
