#include "emulated_backend.h"

#include "api/backends.h"

namespace emu {

sightline::Backend& backend() {
  static sightline::Backend table{};
  return table;
}

}  // namespace emu

namespace sightline {

sl_status find_backend(const sl_device&, const Backend** out) {
  *out = &emu::backend();
  return SL_OK;
}

}  // namespace sightline
