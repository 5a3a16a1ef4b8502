#include <sightline/sightline.h>
#include <stdio.h>

/* Row-major fp32 on the CPU; for other layouts fill in strides. A DLTensor* works as it is. */
#define F32(ptr, ndims, ...) \
  &(sl_tensor) { .data = ptr, .device = {SL_CPU, 0}, .ndim = ndims, .dtype = {SL_FLOAT, 32, 1}, \
                 .shape = (int64_t[]){__VA_ARGS__} }

/* Loss of hidden [B,N,D] against teacher [B,N,Z], and its gradient, in one call. */
int alignment_loss(const sl_alignment* projector, float* hidden, float* teacher, int64_t B,
                   int64_t N, int64_t D, int64_t Z, float* loss, float* grad_hidden) {
  const sl_alignment_args args = {
      .hidden = F32(hidden, 3, B, N, D),
      .teacher = F32(teacher, 3, B, N, Z),
      .loss = F32(loss, 0, 0),
      .grad_hidden = F32(grad_hidden, 3, B, N, D),
  };
  if (sl_alignment_loss(projector, NULL, &args) == SL_OK) return 0;
  fprintf(stderr, "%s\n", sl_last_error()); /* names the argument, the value found, the expected */
  return 1;
}
