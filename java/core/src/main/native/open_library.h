/* A library and all that it needs, or why not: nothing of it stays in the process then. */
#ifndef SIGHTLINE_OPEN_LIBRARY_H
#define SIGHTLINE_OPEN_LIBRARY_H

#include <dlfcn.h>

static inline const char* sightline_open_library(const char* path) {
  return dlopen(path, RTLD_LAZY) != 0 ? 0 : dlerror();
}

#endif
