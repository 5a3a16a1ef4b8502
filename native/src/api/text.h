// How arguments and the values found in them are written in messages.
#pragma once

#include <cstdint>

#include "sightline/sightline.h"

namespace sightline {

// What an argument is called in messages: "hidden", "weights.w1" or "linears[2].weight".
struct Arg {
  const char* name;
  const char* owner = nullptr;
  int64_t index = -1;  // of the owner, -1: the owner is no array
};

// Short texts with automatic storage, for use within one expression.
struct Text {
  char chars[200];
};
Text name_of(const Arg& arg);
Text shape_of(const sl_tensor& tensor);
Text strides_of(const sl_tensor& tensor);
Text device_name(const sl_device& device);
Text dtype_name(const sl_dtype& dtype);

}  // namespace sightline
