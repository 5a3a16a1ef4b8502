// The table of functions a backend fills. src/api checks arguments and calls through it; it never
// knows which backend it calls. A backend does no checking: sizes agree, pointers are valid, dtypes
// are fp32 or bf16 (a remainder's int16), counts are at most the limits below. Functions return a
// status; where only they can know the cause (no kernel for this, workspace too small), they give
// it through set_error().
#pragma once

#include <cstdint>

#include "common/activation.h"
#include "common/views.h"
#include "sightline/sightline.h"

// Returns from the enclosing function unless `expression` is SL_OK.
#define SL_TRY(expression)                                                      \
  do {                                                                          \
    if (const sl_status sl_try_status = (expression); sl_try_status != SL_OK) { \
      return sl_try_status;                                                     \
    }                                                                           \
  } while (0)

namespace sightline {

struct LayerViews {
  View2 weight;  // [out,in]
  View2 bias;    // [1,out] or null
};

inline constexpr int kMaxLayers = 4;

struct ProjectorViews {
  View2 norm_weight, norm_bias;  // [1,D] or null
  LayerViews layers[kMaxLayers];
};

enum class Norm : uint8_t { kNone = SL_NORM_NONE, kLayer = SL_LAYER_NORM, kRms = SL_RMS_NORM };
inline constexpr int kNorms = 3;

struct ProjectorOptions {
  DType compute = DType::kFloat32;
  bool trainable = false;
  int layers = 3;
  Norm norm = Norm::kLayer;
  Activation activation = Activation::kSilu;
  float norm_eps = 1e-5f;
  float dropout = 0.f;
};

enum class LossKind : uint8_t {
  kCosine = SL_LOSS_COSINE,
  kL2 = SL_LOSS_L2,
  kSmoothL1 = SL_LOSS_SMOOTH_L1,
  kInfoNce = SL_LOSS_INFONCE,
};
inline constexpr int kLossKinds = 4;

enum class Negatives : uint8_t {
  kAll = SL_NEGATIVES_ALL,
  kImage = SL_NEGATIVES_IMAGE,
  kOthers = SL_NEGATIVES_OTHERS,
};
inline constexpr int kNegatives = 3;

struct LossOptions {
  LossKind kind = LossKind::kCosine;
  bool spatial_teacher = false;
  bool normalize = false;
  Negatives negatives = Negatives::kAll;
  float beta = 1.f;
  float temperature = 1.f;
  float false_negatives =
      0.f;  // cosine of teacher tokens above which they are no negatives; 0: none
};

struct AlignmentCall {
  View3 hidden;                 // [B,N,D]
  View3 teacher;                // [B,N,Z]
  View2 token_weight;           // [B,N] fp32 or null
  const float* grad_scale;      // on the device, or null
  float* loss;                  // one number
  View2 cosine;                 // [B,N] fp32 or null
  View3 grad_hidden;            // [B,N,D] or null
  ProjectorViews grad_weights;  // without a first layer: not asked for
  bool accumulate_hidden;
  bool accumulate_weights;
  bool training;
  uint64_t dropout_seed;
  LossOptions loss_options;
};

struct LoraViews {
  View2 weight;  // [N,K] or null
  View2 bias;    // [1,N] or null
  View2 a;       // [r,K]
  View2 b;       // [N,r]
  float scale;
  uint64_t dropout_seed;
  View3 y;   // [.., N]
  View2 s;   // [M,r] fp32 contiguous, or null
  View3 dy;  // [.., N]
  View2 da;  // [r,K] or null
  View2 db;  // [N,r] or null
};

struct LoraCall {
  View3 x;  // [.., K]
  float dropout;
  const LoraViews* linears;
  int64_t count;
  View3 dx;  // backward only, or null
  bool accumulate_dx;
  bool accumulate_weights;
};

struct MergeCall {
  View2 weight;  // [N,K]
  View2 a;       // [r,K]
  View2 b;       // [N,r]
  float scale;   // negative to unmerge
  bool stochastic;
  uint64_t seed;
};

struct AdamwTensor {
  Span param;
  Span exp_avg;
  Span exp_avg_sq;
  Span master;     // or null
  Span remainder;  // int16, or null
  int32_t group;
};

struct AdamwStep {
  const Span* grads;  // data == nullptr: no gradient in this step
  const sl_adamw_group* groups;
  const float* lr;  // on the device, of each group in place of its own, or null
  double grad_scale;
  double max_grad_norm;
  bool skip_nonfinite;
  bool zero_grads;
  float* report;  // [4] or null
};

// Raised with every change of this file or of views.h, so that a backend library left over from
// another build is refused instead of called.
inline constexpr uint32_t kBackendVersion = 5;

// What a backend returns, having touched nothing, once it has written the bytes of workspace that a
// call needs to context.workspace_query. src/api makes SL_OK of it. A call that ends before it
// would ask for workspace needs none.
inline constexpr sl_status kWorkspaceQueried = static_cast<sl_status>(7);

// What src/api lets through at most; backends may size fixed arrays by them.
inline constexpr int64_t kMaxLoraLinears = 64;
inline constexpr int32_t kMaxThreads = 1024;

struct Backend {
  uint32_t version = kBackendVersion;  // stays the first member in every version

  sl_status (*capabilities)(sl_capability* out);

  sl_status (*alignment_create)(const ProjectorViews&, const ProjectorOptions&, void** out);
  sl_status (*alignment_update)(void* alignment, const sl_context&, const ProjectorViews&);
  sl_status (*alignment_loss)(const void* alignment, const sl_context&, const AlignmentCall&);
  void (*alignment_destroy)(void* alignment);

  sl_status (*lora_forward)(const sl_context&, const LoraCall&);
  sl_status (*lora_backward)(const sl_context&, const LoraCall&);
  sl_status (*lora_merge)(const sl_context&, const MergeCall&);

  sl_status (*adamw_create)(const AdamwTensor* tensors, int64_t count, void** out);
  sl_status (*adamw_step)(void* adamw, const sl_context&, const AdamwStep&);
  sl_status (*adamw_get_steps)(const void* adamw, int64_t* steps);
  sl_status (*adamw_set_steps)(void* adamw, const int64_t* steps);
  void (*adamw_destroy)(void* adamw);
};

// Filled by src/cpu.
extern const Backend kCpuBackend;

// What a backend that lives in a library of its own is given by the one that loads it.
struct BackendHost {
  // Sets the calling thread's sl_last_error() to `message` and returns `status`.
  sl_status (*set_error)(sl_status status, const char* message);
};

// The one symbol of such a library, "sightline_backend"; the table has static storage.
using BackendEntry = const Backend* (*)(const BackendHost* host);

// Sets this thread's sl_last_error() (printf format) and returns `status`.
sl_status set_error(sl_status status, const char* format, ...)
    __attribute__((format(printf, 2, 3)));

}  // namespace sightline
