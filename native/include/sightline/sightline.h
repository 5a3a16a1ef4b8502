/*
 * Sightline: fused visual alignment loss, LoRA linear layers and AdamW, on CPU and CUDA.
 *
 * Plain C ABI. Every function returns an sl_status and never aborts, throws or prints (Threads
 * tells the exception); on failure sl_last_error() names the argument, the value found and the
 * value expected, and no output has been touched. Tensors are laid out like DLPack's DLTensor, so a
 * DLTensor* of any framework can be passed as an sl_tensor*. Rows may be strided; the last
 * dimension must be contiguous. Strides are not negative; those of inputs may be 0 (broadcast) or
 * permuted. An output shares no memory with any other argument of the call; slices of one buffer
 * that interleave without touching are apart.
 * What is wrong with a call's arguments is found before its backend is looked for.
 *
 * Handles: a destroyed, NULL or foreign one is refused with SL_INVALID_ARGUMENT, never followed; no
 * value is given out twice. Destroying one while calls use it is allowed: they finish, and the last
 * of them frees what it stood for.
 *
 * Sizes: operands and results of matrix products have at most 2^26 rows and as many columns.
 * Threads: all functions may be called from any thread; calls on one handle may run concurrently
 * where its text says so. The library never changes OpenMP's settings. Memory that it lacks is
 * SL_OUT_OF_MEMORY; a thread, or memory of a thread's own, that the system refuses to OpenMP ends
 * the process with OpenMP's message, before the call has written anything. A call with num_threads
 * = 1 asks for no thread.
 *
 * Formulas and tolerances: fp32 results are within 1e-5, fp32 results through TF32 (CUDA, on
 * request) within 2e-3, bf16 results within 8e-3, of an fp64 reference (relative Frobenius norm).
 * Results have the same bits on every run and for every number of threads. A NaN that is computed
 * on a CPU is always the same one, 0x7fc00000, in bf16 0x7fc0.
 */
#ifndef SIGHTLINE_SIGHTLINE_H
#define SIGHTLINE_SIGHTLINE_H

#include <stdint.h>

#if defined(_WIN32)
#define SL_API __declspec(dllexport)
#else
#define SL_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Versions, of this header and of sl_version(). MAJOR changes where a program built against the old
 * header would break: a function went or takes other arguments, a struct's layout or a constant's
 * value changed, something means something else. MINOR changes where functions, structs or constants
 * came: a program runs with any library of its MAJOR whose MINOR is its own or later. Structs are
 * never made longer, but for descriptions, whose first field is their size: fields that a program
 * does not know are 0 for it. PATCH changes nothing here. Before 1.0 a change of MINOR counts as one
 * of MAJOR. Not covered is what a comment calls experimental: it may change with any version. */
#define SL_VERSION_MAJOR 0
#define SL_VERSION_MINOR 1
#define SL_VERSION_PATCH 0

typedef enum sl_status {
  SL_OK = 0,
  SL_INVALID_ARGUMENT = 1, /* shape, stride, dtype, device, range or null pointer */
  SL_UNSUPPORTED = 2,      /* valid, but this backend has no kernel for it */
  SL_UNAVAILABLE = 3,      /* the backend for the tensors' device could not be loaded */
  SL_OUT_OF_MEMORY = 4,
  SL_INTERNAL = 5
} sl_status;

/* ---- Tensors (DLPack layout) ---------------------------------------------------------------- */

typedef enum sl_device_type { SL_CPU = 1, SL_CUDA = 2 } sl_device_type; /* kDLCPU, kDLCUDA */
typedef enum sl_dtype_code {
  SL_INT = 0,
  SL_FLOAT = 2,
  SL_BFLOAT = 4
} sl_dtype_code; /* of DLPack */

typedef struct sl_device {
  int32_t type; /* sl_device_type */
  int32_t id;
} sl_device;

typedef struct sl_dtype {
  uint8_t code;   /* sl_dtype_code */
  uint8_t bits;   /* 32 for SL_FLOAT, 16 for SL_BFLOAT; SL_INT of 16 bits where a text says so */
  uint16_t lanes; /* 1 */
} sl_dtype;

typedef struct sl_tensor {
  void* data;       /* may be NULL only when the tensor has no elements */
  sl_device device; /* a CPU's id is 0 */
  int32_t ndim;     /* at most 8 */
  sl_dtype dtype;
  int64_t* shape;
  int64_t* strides;     /* in elements; NULL means row-major and compact */
  uint64_t byte_offset; /* data + byte_offset is a multiple of the element size */
} sl_tensor;

/* How products of fp32 operands are computed. TF32: tensor cores; every operand is rounded to
 * nearest to 11 significant bits first, an error of at most 2^-11 for each, sums stay fp32. A GPU
 * takes it for all products of the alignment loss and of LoRA but the thin ones over dy (dy B and
 * dB) and merging; the CPU computes as with SL_FP32_IEEE, which is exacter than was asked for. What
 * is in memory is never rounded, nor are operands of 16 bits. */
typedef enum sl_fp32_precision { SL_FP32_IEEE = 0, SL_FP32_TF32 = 1 } sl_fp32_precision;

/* Where and how a call executes. What computes takes its handle, if it has one, a context and its
 * arguments in a struct; a NULL context means all defaults. On the CPU the library's own
 * scratch is a cache of the calling thread, which grows to the largest request and is freed when
 * the thread ends; on CUDA a cache of the stream: a repeated call allocates nothing.
 *
 * An allocator of one's own: make the call once with `workspace_query`, allocate, make it again
 * with `workspace`. A query checks the arguments as the call does and writes nothing but the
 * number: the bytes that the same arguments with the same context need as `workspace`, 0 where
 * nothing is needed. Shapes, layouts, which tensors are NULL, num_threads and the GPU decide it, no
 * tensor's contents do. */
typedef struct sl_context {
  void* stream;           /* CUDA: a cudaStream_t, NULL for the default stream. CPU: ignored. */
  int32_t num_threads;    /* CPU: OpenMP threads to use at most, 0 for OpenMP's default, up to 1024;
                             small work is not shared. CUDA: ignored. */
  int32_t fp32_precision; /* sl_fp32_precision */
  void* workspace;        /* scratch on the tensors' device, on CUDA at a multiple of 256; NULL for
                             the library's own cache */
  uint64_t workspace_bytes;  /* of workspace; too few are refused, naming how many are needed */
  uint64_t* workspace_query; /* host memory: a query; NULL: compute */
} sl_context;

/* ---- Library -------------------------------------------------------------------------------- */

typedef struct sl_capability {
  int32_t available;              /* 1 if the backend can compute here */
  int32_t device_count;           /* CPU: 1 */
  int32_t max_threads;            /* CPU: OpenMP's default thread count; CUDA: 0 */
  int32_t native_bf16;            /* 1 if bf16 products run on bf16 hardware */
  char implementation[64];        /* CPU: ISA path in use ("avx2", ...); CUDA: name of device 0 */
  char unavailability_cause[256]; /* empty when available */
} sl_capability;

/* "0.1.0"; static storage. */
SL_API const char* sl_version(void);

/* The message of this thread's last failed call, "" if none: "linears[1].a: shape [8,16], expected
 * last dimension 32 (columns of x)". Valid until its next failing call; a success leaves it. */
SL_API const char* sl_last_error(void);

/* What the backend of `device_type` can do on this machine; SL_OK also where it can do nothing,
 * with the cause in `out`. The CUDA backend is a library of its own, opened at first use: the one
 * that the environment variable SIGHTLINE_CUDA_LIBRARY names by an absolute path, else
 * libsightline_cuda.so beside this library (beside the program that holds the archive). */
SL_API sl_status sl_capabilities(int32_t device_type, sl_capability* out);

/* ---- Alignment loss -------------------------------------------------------------------------
 * projector(h) = L_n act(... act(L_1 norm(h)))    L_i x = W_i x + b_i
 * loss = sum_i m_i v_i / sum_i m_i, v_i of z_i = projector(h_i) and the teacher's t_i by the loss's
 * description, without one - cos(z_i, t_i),
 * cos(z, t) = z^.t^, z^ = z / max(|z|, 1e-12), t^ = t / max(|t|, 1e-12).
 * With an empty batch, or weights m that sum to 0, the loss and all gradients are 0.
 * Of "Don't Blind Your VLA" (Kachaev et al., arXiv 2510.25616): LayerNorm, three layers, SiLU; of
 * REPA (Yu et al., arXiv 2410.06940): no norm, three layers, SiLU. CUDA has the first of them alone,
 * and the cosine.
 */

typedef enum sl_norm {
  SL_NORM_NONE = 0,
  SL_LAYER_NORM = 1, /* (h - mean) / sqrt(variance + norm_eps) * norm_weight + norm_bias */
  SL_RMS_NORM = 2    /* h / sqrt(mean of h^2 + norm_eps) * norm_weight + norm_bias */
} sl_norm;

typedef enum sl_activation {
  SL_ACTIVATION_NONE = 0,
  SL_SILU = 1,      /* x / (1 + exp(-x)) */
  SL_GELU = 2,      /* x (1 + erf(x / sqrt(2))) / 2 */
  SL_GELU_TANH = 3, /* x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 */
  SL_RELU = 4
} sl_activation;

typedef struct sl_projector_layer {
  const sl_tensor* weight; /* [out,in] */
  const sl_tensor* bias;   /* [out] or NULL */
} sl_projector_layer;

/* Projector parameters, or their gradients: contiguous rows, all fp32 or all bf16. A layer's input
 * is as wide as the output of the one before. Gradients are of all parameters that there are. */
typedef struct sl_projector {
  const sl_tensor* norm_weight; /* [D] or NULL */
  const sl_tensor* norm_bias;   /* [D] or NULL; NULL if norm_weight is */
  sl_projector_layer layers[4]; /* NULL beyond those described */
} sl_projector;

typedef struct sl_projector_desc {
  uint32_t size;      /* sizeof(sl_projector_desc) */
  int32_t layers;     /* 1 to 4 */
  int32_t norm;       /* sl_norm, of the hidden states */
  int32_t activation; /* sl_activation, after each layer but the last */
  double norm_eps;    /* > 0 where there is a norm (1e-5 of PyTorch's LayerNorm) */
  double dropout;     /* probability in [0, 1) after each activation; must be 0 unless trainable */
  sl_dtype compute;   /* operands of the products: fp32, or bf16 with fp32 sums */
  int32_t trainable;  /* 1: weight gradients can be asked for and dropout is allowed */
} sl_projector_desc;

typedef struct sl_alignment sl_alignment;

/* Reads, folds, converts and packs the weights; they are not referenced afterwards. On CUDA it
 * allocates and waits for the device before and after, so the weights may have been written, and
 * the handle may be used, on any stream; it cannot be captured in a graph. */
SL_API sl_status sl_alignment_create(const sl_projector* weights, const sl_projector_desc* desc,
                                     sl_alignment** out);

/* Reads the weights again, as after an optimizer step. Which tensors there are, shapes, dtype and
 * device must be the same.
 * Not to be called while another call uses the handle. On CUDA it is work on the context's stream
 * like any other, without a wait or an allocation: what wrote the weights comes before it on that
 * stream, and a loss on another stream is ordered after it by the caller. Needs no workspace. */
SL_API sl_status sl_alignment_update(sl_alignment* alignment, const sl_context* context,
                                     const sl_projector* weights);

/* The loss of a token. h(d) = d^2 / 2 beta where |d| < beta, else |d| - beta / 2. InfoNCE's j runs
 * over i itself and its negatives; the teacher gets no gradient. A token of weight 0 is no negative.
 */
typedef enum sl_loss_kind {
  SL_LOSS_COSINE = 0,    /* v = -cos(z, t) */
  SL_LOSS_L2 = 1,        /* v = |z - t|^2 / Z */
  SL_LOSS_SMOOTH_L1 = 2, /* v = sum of h(z - t) / Z */
  SL_LOSS_INFONCE = 3    /* v_i = log sum_j exp(s_ij) - s_ii, s_ij = cos(z_i, t_j) / temperature */
} sl_loss_kind;

typedef enum sl_negatives {
  SL_NEGATIVES_ALL = 0,   /* every other token of the batch */
  SL_NEGATIVES_IMAGE = 1, /* those of the same image, a row of the batch */
  SL_NEGATIVES_OTHERS = 2 /* those of other images */
} sl_negatives;

/* Spatial: (t - mean) / (std + 1e-6) of each feature over the tokens of an image, std with N - 1, as
 * iREPA has it (Singh et al., arXiv 2512.10794). */
typedef enum sl_teacher_norm { SL_TEACHER_AS_IS = 0, SL_TEACHER_SPATIAL = 1 } sl_teacher_norm;

typedef struct sl_loss_desc {
  uint32_t size;          /* sizeof(sl_loss_desc) */
  int32_t kind;           /* sl_loss_kind */
  int32_t teacher_norm;   /* sl_teacher_norm */
  int32_t normalize;      /* L2, smooth-L1: 1: of z^ and t^ */
  int32_t negatives;      /* InfoNCE: sl_negatives */
  double beta;            /* smooth-L1: > 0 (1 of PyTorch) */
  double temperature;     /* InfoNCE: > 0 */
  double false_negatives; /* InfoNCE: 0, or: j with cos(t_i, t_j) above it are none; at most 1 */
} sl_loss_desc;

typedef struct sl_alignment_args {
  const sl_tensor* hidden;       /* [B,N,D] fp32 or bf16, any batch and token strides */
  const sl_tensor* teacher;      /* [B,N,Z] fp32 or bf16, any batch and token strides */
  const sl_tensor* token_weight; /* [B,N] fp32, >= 0; NULL: 1 for every token */
  const sl_tensor*
      grad_scale;         /* one fp32 number on the device, multiplies every gradient; NULL: 1 */
  sl_tensor* loss;        /* one fp32 number, written (never scaled) */
  sl_tensor* cosine;      /* [B,N] fp32, written, or NULL: cos(z_i, t_i), whatever the loss */
  sl_tensor* grad_hidden; /* [B,N,D], dtype of hidden, or NULL for the loss alone; where it is
                             written, CUDA keeps other things in it while the call runs */
  const sl_projector* grad_weights; /* fp32 or bf16 gradients of a trainable projector, or NULL */
  int32_t accumulate_hidden;        /* 1: add to grad_hidden; 0: write it */
  int32_t accumulate_weights;       /* 1: add to grad_weights; 0: write them */
  int32_t training;                 /* 1: dropout is drawn */
  uint64_t dropout_seed;            /* one seed, one mask */
  const sl_loss_desc* loss_desc;    /* NULL: cosine, teacher as it is */
} sl_alignment_args;

/* Loss, and in the same pass whatever gradients are asked for. Calls on one handle may run
 * concurrently. */
SL_API sl_status sl_alignment_loss(const sl_alignment* alignment, const sl_context* context,
                                   const sl_alignment_args* args);

SL_API void sl_alignment_destroy(sl_alignment* alignment); /* NULL is allowed */

/* ---- LoRA linear ------------------------------------------------------------------------------
 * y = x W^T + bias + scale (drop(x) A^T) B^T, weight [N,K] frozen, A [r,K], B [N,r], r >= 1.
 * x is [..., K] and y [..., N] with equal leading dimensions, 1 to 3 dimensions in all; the M rows
 * of x are those of its leading dimensions, flattened in order. drop() keeps an element with
 * probability 1-p and divides it by 1-p; its mask is a function of (dropout_seed, row, column)
 * alone and is drawn again in the backward pass, never stored. Linears of one call that have the
 * same seed have the same mask.
 */
typedef struct sl_lora_linear {
  const sl_tensor* weight; /* [N,K] fp32 or bf16; NULL where the base product is someone else's */
  const sl_tensor* bias;   /* [N] or NULL; NULL if weight is NULL */
  const sl_tensor* a;      /* [r,K] fp32 or bf16 */
  const sl_tensor* b;      /* [N,r] same dtype as a */
  double scale;            /* alpha / r, or alpha / sqrt(r) */
  uint64_t dropout_seed;

  /* forward: outputs */
  sl_tensor* y; /* [..., N], dtype of x; written, or added to where weight is NULL */
  sl_tensor* s; /* [M,r] fp32, contiguous: receives drop(x) A^T for the backward pass; or NULL.
                   In the backward pass an input: what the forward pass left there; or NULL */

  /* backward: the gradient of y, and those asked for, each NULL if not */
  const sl_tensor* grad_y; /* [..., N], dtype of x */
  sl_tensor* grad_a;       /* [r,K], fp32 or bf16 */
  sl_tensor* grad_b;       /* [N,r], dtype of grad_a */
} sl_lora_linear;

/* Several linears that share the input x (q, k, v; gate, up) run as one call. */
typedef struct sl_lora_args {
  const sl_tensor* x; /* [..., K] fp32 or bf16 */
  const sl_lora_linear* linears;
  int64_t count;  /* of linears, 1 to 64 */
  double dropout; /* probability in [0, 1) */

  /* backward */
  sl_tensor* grad_x;          /* [..., K], dtype of x, or NULL */
  int32_t accumulate_x;       /* 1: add to grad_x; 0: write it */
  int32_t accumulate_weights; /* 1: add to grad_a and grad_b; 0: write them */
} sl_lora_args;

/* Reads x once for all adapters that have the same mask. `y` and, if given, `s` of each linear are
 * written. Without a weight one pass over y adds the adapter to it. Products run in x's dtype with
 * fp32 sums, so a weight or adapter of the other dtype is rounded to x's, block by block. */
SL_API sl_status sl_lora_forward(const sl_context* context, const sl_lora_args* args);

/* grad_x = sum_i grad_y_i W_i + drop'(scale_i grad_y_i B_i A_i),
 * grad_a_i = scale_i (grad_y_i B_i)^T drop(x), grad_b_i = scale_i grad_y_i^T s_i. Where `s` is NULL
 * it is computed again from x if grad_b is asked for. Where `weight` is NULL, grad_x gets the
 * adapter's part alone. With M = 0, grad_a and grad_b are zeros (or kept, where they are
 * accumulated). */
SL_API sl_status sl_lora_backward(const sl_context* context, const sl_lora_args* args);

typedef enum sl_rounding { SL_ROUND_NEAREST = 0, SL_ROUND_STOCHASTIC = 1 } sl_rounding;

typedef struct sl_lora_merge_args {
  sl_tensor* weight;  /* [N,K] fp32 or bf16 */
  const sl_tensor* a; /* [r,K] fp32 or bf16 */
  const sl_tensor* b; /* [N,r], dtype of a */
  double scale;       /* that of the linear to merge; its negative to take the adapter out again */
  int32_t rounding;   /* sl_rounding, for a bf16 weight only */
  uint64_t seed;      /* of stochastic rounding */
} sl_lora_merge_args;

/* weight += scale B A, in place. Stochastic rounding goes up or down with the probability that makes
 * the expectation exact, by a random number that depends on (seed, row, column) alone. In fp32
 * merging and then taking out restores within 2 ulp of the larger of |weight| and |weight + delta|;
 * in bf16 within 1 ulp of it with SL_ROUND_NEAREST. Keep a copy of the weight for an exact return. */
SL_API sl_status sl_lora_merge(const sl_context* context, const sl_lora_merge_args* args);

/* ---- AdamW ------------------------------------------------------------------------------------
 * Loshchilov & Hutter, arXiv 1711.05101, in PyTorch's order of operations:
 *   p *= 1 - lr wd;  m += (1-b1)(g-m);  v = b2 v + (1-b2) g g;
 *   p -= lr/(1-b1^t) m / (sqrt(v)/sqrt(1-b2^t) + eps)
 * over any number of tensors in one call. Sums are fp32, scalars are prepared in double and rounded
 * once, no a*b+c is contracted: on a CPU the result has the bits of that order of operations. A
 * bf16 parameter without a master is widened, updated and rounded to nearest. t counts per tensor;
 * a tensor without a gradient in a step is left alone, weight decay included.
 *
 * A remainder holds what a bf16 parameter lacks of an fp32 master, in 2 bytes instead of 4: the
 * master's bits are 65536 x (the parameter's bits) + remainder, and go through the same steps as a
 * master would, to the bit. The parameter is the master rounded to nearest, ties away from 0 (for
 * sums and signs to come out, an even neighbour cannot be preferred). Zeros make the parameter
 * itself the master. A parameter written by someone else takes its remainder along, up to half a
 * unit of its last place; NaN stays NaN, without its payload.
 */
typedef struct sl_adamw_param {
  sl_tensor* param;      /* fp32 or bf16, contiguous, any shape */
  sl_tensor* exp_avg;    /* m: fp32, same shape, contiguous */
  sl_tensor* exp_avg_sq; /* v: fp32, same shape, contiguous */
  sl_tensor* master;     /* fp32 master copy of a bf16 param, same shape; NULL: none */
  sl_tensor* remainder;  /* int16, same shape, contiguous, in place of a master; NULL: none;
                            experimental */
  int32_t group;         /* index into sl_adamw_step_args.groups, below 2^20 */
} sl_adamw_param;

typedef struct sl_adamw_group {
  double lr;           /* >= 0; not read where the step has an lr of its own */
  double beta1;        /* [0, 1) */
  double beta2;        /* [0, 1) */
  double eps;          /* > 0, also as a float */
  double weight_decay; /* >= 0 */
} sl_adamw_group;

typedef struct sl_adamw sl_adamw;

/* Keeps the addresses in `params`, at least one; the memory must outlive the handle, and no two
 * tensors may share any. All are on one device. Nothing is written. Step counts start at 0. */
SL_API sl_status sl_adamw_create(const sl_adamw_param* params, int64_t count, sl_adamw** out);

typedef struct sl_adamw_step_args {
  const sl_tensor* grads; /* `count` tensors: fp32 or bf16, contiguous, shape of their parameter;
                             ndim = -1 marks a parameter without a gradient in this step */
  int64_t count;          /* as in sl_adamw_create */
  const sl_adamw_group* groups;
  int32_t group_count;
  const sl_tensor* lr;    /* [group_count] fp32 on the parameters' device, in place of the groups'
                             lr: read, unchecked, when the step executes, so that a captured graph
                             follows what is written there; NULL: the groups'. Experimental */
  double grad_scale;      /* finite, multiplies every gradient first; 1, or 1 / accumulated steps */
  double max_grad_norm;   /* > 0: clip the global 2-norm as torch's clip_grad_norm_, by the factor
                             min(1, max_grad_norm / (norm + 1e-6)); 0: no clipping */
  int32_t skip_nonfinite; /* 1: change nothing (but zero the gradients, if asked) when a gradient
                             holds NaN or infinity */
  int32_t zero_grads;     /* 1: gradients are zeroed after use */
  sl_tensor* report; /* [4] fp32 or NULL: 2-norm of the scaled gradients before clipping, factor
                        applied by clipping (1: none), count of non-finite elements, 1 if
                        skipped */
} sl_adamw_step_args;

/* One step. Not to be called while another call uses the handle. */
SL_API sl_status sl_adamw_step(sl_adamw* adamw, const sl_context* context,
                               const sl_adamw_step_args* args);

/* The per-tensor step counts t, for checkpoints. `count` as in sl_adamw_create. */
SL_API sl_status sl_adamw_get_steps(const sl_adamw* adamw, int64_t* steps, int64_t count);
SL_API sl_status sl_adamw_set_steps(sl_adamw* adamw, const int64_t* steps, int64_t count);

SL_API void sl_adamw_destroy(sl_adamw* adamw); /* NULL is allowed */

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* SIGHTLINE_SIGHTLINE_H */
