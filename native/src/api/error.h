// From a failed check to a status and this thread's sl_last_error(), without exceptions.
#pragma once

#include <exception>
#include <new>

#include "api/backend.h"

namespace sightline {

const char* last_error();

// Forgets whether a message was set, so that finish() can tell that a backend left none.
void begin_call();

// Gives a failed call whose backend set no message one of its own.
sl_status finish_call(const char* function, sl_status status);

// The body of every ABI function: no exception passes it, and a failure always has a message.
template <typename Body>
sl_status guarded(const char* function, Body&& body) noexcept {
  begin_call();
  try {
    return finish_call(function, body());
  } catch (const std::bad_alloc&) {
    return set_error(SL_OUT_OF_MEMORY, "%s: out of host memory", function);
  } catch (const std::exception& e) {
    return set_error(SL_INTERNAL, "%s: %s", function, e.what());
  } catch (...) {
    return set_error(SL_INTERNAL, "%s: unknown exception", function);
  }
}

}  // namespace sightline
