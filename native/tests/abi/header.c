/* The header alone, by the strictest flags: C11, and through header.cpp C++17 and C++20. */
#include <sightline/sightline.h>

int header_compiles(void);

int header_compiles(void) {
  sl_tensor tensor = {0};
  return tensor.ndim + SL_VERSION_MAJOR;
}
