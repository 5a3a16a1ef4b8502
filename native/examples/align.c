/*
 * Trains the last layer of a small vision model so that its image tokens look like a frozen
 * teacher's patch features: a LoRA adapter under the alignment loss, AdamW as optimizer. Everything
 * a trainer needs of Sightline, in plain C11:
 *
 *   h = x W^T + scale (x A^T) B^T          sl_lora_forward     W frozen, A and B trained
 *   loss = -mean cos(projector(h), t)      sl_alignment_loss   gradient of h in the same call
 *   dA, dB                                 sl_lora_backward
 *   step                                   sl_adamw_step       clips, zeroes the gradients
 *   W += scale B A                         sl_lora_merge       and the loss once more
 *
 * cc align.c -lsightline -lm
 */
#include <math.h>
#include <sightline/sightline.h>
#include <stdio.h>
#include <stdlib.h>

#include "loss.h"

enum { kBatch = 4, kTokens = 16, kHidden = 48, kProjector = 64, kTeacher = 32, kRank = 8 };
enum { kSteps = 200 };

/* ---- tensors: contiguous float32 arrays, all freed together ---- */

typedef struct array {
  sl_tensor tensor;
  int64_t shape[3];
  int64_t count;
  struct array* next;
} array;

static array* arrays = NULL;

static void free_arrays(void) {
  while (arrays != NULL) {
    array* next = arrays->next;
    free(arrays->tensor.data);
    free(arrays);
    arrays = next;
  }
}

static void check(sl_status status) {
  if (status == SL_OK) return;
  fprintf(stderr, "sightline: %s\n", sl_last_error());
  exit(1);
}

static double uniform(void) { /* in [-1, 1) */
  static uint64_t state = 0x9E3779B97F4A7C15u;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (double)(state >> 11) / 4503599627370496.0 - 1.0;
}

/* Filled with numbers in [-scale, scale); 0 gives zeros. Sizes of 0 end the shape. */
static array* make(int64_t n0, int64_t n1, int64_t n2, double scale) {
  array* a = calloc(1, sizeof *a);
  if (a == NULL) abort();
  a->next = arrays;
  arrays = a;
  const int64_t sizes[3] = {n0, n1, n2};
  a->count = 1;
  for (int d = 0; d < 3 && sizes[d] > 0; ++d) {
    a->shape[a->tensor.ndim++] = sizes[d];
    a->count *= sizes[d];
  }
  float* data = calloc((size_t)a->count, sizeof(float));
  if (data == NULL) abort();
  for (int64_t i = 0; i < a->count; ++i) data[i] = (float)(scale * uniform());
  a->tensor.data = data;
  a->tensor.device = (sl_device){SL_CPU, 0};
  a->tensor.dtype = (sl_dtype){SL_FLOAT, 32, 1};
  a->tensor.shape = a->shape;
  return a;
}

static float first(const array* a) { return *(const float*)a->tensor.data; }

/* ---- the frozen projector, initialised as PyTorch does ---- */

static sl_alignment* make_projector(void) {
  array* norm_weight = make(kHidden, 0, 0, 0);
  for (int i = 0; i < kHidden; ++i) ((float*)norm_weight->tensor.data)[i] = 1;
  const double in = 1 / sqrt(kHidden), mid = 1 / sqrt(kProjector);
  const sl_projector weights = {
      .norm_weight = &norm_weight->tensor,
      .norm_bias = &make(kHidden, 0, 0, 0)->tensor,
      .layers = {{&make(kProjector, kHidden, 0, in)->tensor, &make(kProjector, 0, 0, in)->tensor},
                 {&make(kProjector, kProjector, 0, mid)->tensor,
                  &make(kProjector, 0, 0, mid)->tensor},
                 {&make(kTeacher, kProjector, 0, mid)->tensor, &make(kTeacher, 0, 0, mid)->tensor}},
  };
  const sl_projector_desc desc = {.size = sizeof desc,
                                  .layers = 3,
                                  .norm = SL_LAYER_NORM,
                                  .activation = SL_SILU,
                                  .norm_eps = 1e-5,
                                  .compute = {SL_FLOAT, 32, 1}};
  sl_alignment* alignment = NULL;
  check(sl_alignment_create(&weights, &desc, &alignment));
  return alignment;
}

/* The loss of h as it is; the README's example. */
static int evaluate(const sl_alignment* alignment, array* h, array* teacher, array* loss,
                    array* dh) {
  return alignment_loss(alignment, h->tensor.data, teacher->tensor.data, kBatch, kTokens, kHidden,
                        kTeacher, loss->tensor.data, dh->tensor.data);
}

int main(void) {
  sl_capability cpu;
  check(sl_capabilities(SL_CPU, &cpu));
  printf("Sightline %s on %s, %d threads\n", sl_version(), cpu.implementation, cpu.max_threads);

  array* x = make(kBatch, kTokens, kHidden, 1);
  array* teacher = make(kBatch, kTokens, kTeacher, 1);
  array* h = make(kBatch, kTokens, kHidden, 0);
  array* dh = make(kBatch, kTokens, kHidden, 0);
  array* s = make(kBatch * kTokens, kRank, 0, 0);
  array* loss = make(1, 0, 0, 0);
  array* cosine = make(kBatch, kTokens, 0, 0);
  array* w = make(kHidden, kHidden, 0, 1 / sqrt(kHidden));
  array* a = make(kRank, kHidden, 0, 1 / sqrt(kHidden));
  array* b = make(kHidden, kRank, 0, 0); /* zeros: training starts from W alone */
  array* da = make(kRank, kHidden, 0, 0);
  array* db = make(kHidden, kRank, 0, 0);
  sl_alignment* alignment = make_projector();

  const sl_lora_linear linear = {.weight = &w->tensor,
                                 .a = &a->tensor,
                                 .b = &b->tensor,
                                 .scale = 2.0,
                                 .y = &h->tensor,
                                 .s = &s->tensor,
                                 .grad_y = &dh->tensor,
                                 .grad_a = &da->tensor,
                                 .grad_b = &db->tensor};
  const sl_lora_args lora = {.x = &x->tensor, .linears = &linear, .count = 1};
  const sl_alignment_args align = {.hidden = &h->tensor,
                                   .teacher = &teacher->tensor,
                                   .loss = &loss->tensor,
                                   .cosine = &cosine->tensor,
                                   .grad_hidden = &dh->tensor};

  array* state[4];
  for (int i = 0; i < 4; ++i)
    state[i] = make(i < 2 ? kRank : kHidden, i < 2 ? kHidden : kRank, 0, 0);
  const sl_adamw_param params[2] = {
      {.param = &a->tensor, .exp_avg = &state[0]->tensor, .exp_avg_sq = &state[1]->tensor},
      {.param = &b->tensor, .exp_avg = &state[2]->tensor, .exp_avg_sq = &state[3]->tensor}};
  const sl_adamw_group group = {1e-2, 0.9, 0.999, 1e-8, 0.01};
  const sl_tensor grads[2] = {da->tensor, db->tensor};
  array* report = make(4, 0, 0, 0);
  const sl_adamw_step_args step = {.grads = grads,
                                   .count = 2,
                                   .groups = &group,
                                   .group_count = 1,
                                   .grad_scale = 1,
                                   .max_grad_norm = 1,
                                   .skip_nonfinite = 1,
                                   .zero_grads = 1,
                                   .report = &report->tensor};
  sl_adamw* optimizer = NULL;
  check(sl_adamw_create(params, 2, &optimizer));

  float before = 0;
  for (int i = 0; i < kSteps; ++i) {
    check(sl_lora_forward(NULL, &lora));
    check(sl_alignment_loss(alignment, NULL, &align));
    check(sl_lora_backward(NULL, &lora));
    check(sl_adamw_step(optimizer, NULL, &step));
    if (i == 0) before = first(loss);
    if (i % 25 == 0)
      printf("step %3d  loss %+.4f  gradient norm %.4f\n", i, first(loss), first(report));
  }

  /* Merged into W, the adapter costs nothing: the plain layer has the trained loss. */
  check(sl_lora_forward(NULL, &lora));
  if (evaluate(alignment, h, teacher, loss, dh) != 0) return 1;
  const float trained = first(loss);
  const sl_lora_merge_args merge = {
      .weight = &w->tensor, .a = &a->tensor, .b = &b->tensor, .scale = linear.scale};
  check(sl_lora_merge(NULL, &merge));
  for (int64_t i = 0; i < b->count; ++i) ((float*)b->tensor.data)[i] = 0;
  check(sl_lora_forward(NULL, &lora));
  if (evaluate(alignment, h, teacher, loss, dh) != 0) return 1;
  printf("loss %+.4f before, %+.4f after training, %+.4f merged\n", before, trained, first(loss));

  sl_adamw_destroy(optimizer);
  sl_alignment_destroy(alignment);
  const int learned = trained < before - 0.2f, same = fabsf(trained - first(loss)) < 1e-4f;
  free_arrays();
  return learned && same ? 0 : 1;
}
