#include "api/error.h"

#include <cstdarg>
#include <cstdio>

namespace sightline {
namespace {

// Fixed storage: reporting that memory ran out must not need memory.
thread_local char message[1024] = "";
thread_local bool message_is_set = false;

}  // namespace

const char* last_error() { return message; }

void begin_call() { message_is_set = false; }

sl_status set_error(sl_status status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  message_is_set = true;
  return status;
}

sl_status finish_call(const char* function, sl_status status) {
  if (status == SL_OK || message_is_set) return status;
  switch (status) {
    case SL_OUT_OF_MEMORY:
      return set_error(status, "%s: out of memory", function);
    case SL_UNSUPPORTED:
      return set_error(status, "%s: no kernel for these arguments on this backend", function);
    default:
      return set_error(status, "%s: internal failure (status %d)", function,
                       static_cast<int>(status));
  }
}

}  // namespace sightline
