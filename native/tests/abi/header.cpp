#include <sightline/sightline.h>

int header_compiles();

int header_compiles() {
  sl_tensor tensor{};
  return tensor.ndim + SL_VERSION_MAJOR;
}
