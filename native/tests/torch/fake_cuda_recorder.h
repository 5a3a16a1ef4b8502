#pragma once

#include <sightline/sightline.h>

inline constexpr uint64_t kRecorderBytes = 1002;

struct Recorded {
  int queries = 0, calls = 0;
  sl_context context{};  // of the last call
  sl_status answer = SL_OK;
};
