#include <sightline/sightline.h>
#include <stdio.h>

/* A compact fp32 tensor on the CPU; for other layouts fill in strides. */
static sl_tensor f32(float* data, int32_t ndim, int64_t* shape) {
  return (sl_tensor){data, {SL_CPU, 0}, ndim, {SL_FLOAT, 32, 1}, shape, NULL, 0};
}

/* Loss of hidden [B,N,D] against teacher [B,N,Z], and its gradient, in one call. */
static int alignment_loss(const sl_alignment* projector, float* hidden, float* teacher, int64_t B,
                          int64_t N, int64_t D, int64_t Z, float* loss, float* grad_hidden) {
  int64_t student_shape[] = {B, N, D}, teacher_shape[] = {B, N, Z};
  sl_tensor h = f32(hidden, 3, student_shape), t = f32(teacher, 3, teacher_shape);
  sl_tensor l = f32(loss, 0, NULL), dh = f32(grad_hidden, 3, student_shape);
  const sl_alignment_args args = {.hidden = &h, .teacher = &t, .loss = &l, .grad_hidden = &dh};
  if (sl_alignment_loss(projector, NULL, &args) == SL_OK) return 0;
  fprintf(stderr, "%s\n", sl_last_error()); /* the argument, the value found, the value expected */
  return 1;
}
