/* The current CUDA stream of the libtorch in this process, asked through its stable C ABI: nothing
 * of CUDA is needed to build this, and it works with whatever libtorch is loaded. */
#ifndef SIGHTLINE_TORCH_CUDA_STREAM_H
#define SIGHTLINE_TORCH_CUDA_STREAM_H

#include <dlfcn.h>
#include <stdint.h>

/* Writes a cudaStream_t to *stream (NULL: the default stream) and returns 0; 1 if no CUDA build of
 * libtorch is loaded, 2 if that fails. Where stream is NULL, only whether such a build is loaded is
 * asked, not the driver. A JVM loads libraries so that only their file names find them. */
static inline int sightline_torch_cuda_stream(int device, void** stream) {
  typedef int32_t (*current_stream)(int32_t device, void** stream);
  void* library = dlopen("libtorch_cuda.so", RTLD_NOLOAD | RTLD_LAZY);
  if (library == 0) return 1;
  current_stream current = (current_stream)dlsym(library, "aoti_torch_get_current_cuda_stream");
  dlclose(library); /* only our count of it */
  if (current == 0) return 1;
  return stream == 0 || current(device, stream) == 0 ? 0 : 2;
}

#endif
