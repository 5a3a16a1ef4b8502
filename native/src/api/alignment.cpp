// sl_alignment_*: checks, then one call into the backend.
#include <memory>

#include "api/arguments.h"
#include "api/backends.h"
#include "api/context.h"
#include "api/handles.h"
#include "api/overlap.h"

using namespace sightline;

namespace {

struct Alignment {
  const Backend* backend;
  void* impl;
  int64_t d, p, z;
  sl_device device;
  sl_dtype weight_dtype;
  bool trainable;

  ~Alignment() {
    if (impl != nullptr) backend->alignment_destroy(impl);
  }
};

Handles<sl_alignment, Alignment>& handles() {
  // Outlives every static destructor.
  static auto* all = new Handles<sl_alignment, Alignment>("alignment", "sl_alignment_create");
  return *all;
}

struct Sizes {
  int64_t d, p, z;
};

// The eight tensors of a projector in the order of sl_projector.
struct Parameter {
  const char* name;
  const sl_tensor* sl_projector::*tensor;
  int dims;
  const char* layout;
};
constexpr Parameter kParameters[] = {
    {"ln_weight", &sl_projector::ln_weight, 1, "[D]"},
    {"ln_bias", &sl_projector::ln_bias, 1, "[D]"},
    {"w1", &sl_projector::w1, 2, "[P,D]"},
    {"b1", &sl_projector::b1, 1, "[P]"},
    {"w2", &sl_projector::w2, 2, "[P,P]"},
    {"b2", &sl_projector::b2, 1, "[P]"},
    {"w3", &sl_projector::w3, 2, "[Z,P]"},
    {"b3", &sl_projector::b3, 1, "[Z]"},
};

sl_status check_projector(const char* owner, const sl_projector* projector, Sizes* sizes) {
  SL_TRY(check_pointer({owner}, projector));
  for (const Parameter& p : kParameters) {
    const sl_tensor* tensor = projector->*p.tensor;
    SL_TRY(check_matrix({p.name, owner}, tensor, p.dims, p.dims, p.layout));
    for (int d = 0; d < p.dims; ++d) SL_TRY(check_dim_positive({p.name, owner}, *tensor, d));
    SL_TRY(check_same_dtype({p.name, owner}, *tensor, *projector->ln_weight, "ln_weight"));
    SL_TRY(check_same_device({p.name, owner}, *tensor, projector->ln_weight->device, "ln_weight"));
  }
  const auto& [ln_weight, ln_bias, w1, b1, w2, b2, w3, b3] = *projector;
  const int64_t p = w1->shape[0], d = w1->shape[1], z = w3->shape[0];
  SL_TRY(check_dim({"ln_weight", owner}, *ln_weight, 0, d, "columns of w1"));
  SL_TRY(check_dim({"ln_bias", owner}, *ln_bias, 0, d, "columns of w1"));
  SL_TRY(check_dim({"b1", owner}, *b1, 0, p, "rows of w1"));
  SL_TRY(check_dim({"w2", owner}, *w2, 0, p, "rows of w1"));
  SL_TRY(check_dim({"w2", owner}, *w2, 1, p, "rows of w1"));
  SL_TRY(check_dim({"b2", owner}, *b2, 0, p, "rows of w2"));
  SL_TRY(check_dim({"w3", owner}, *w3, 1, p, "rows of w2"));
  SL_TRY(check_dim({"b3", owner}, *b3, 0, z, "rows of w3"));
  *sizes = {d, p, z};
  return SL_OK;
}

ProjectorViews views_of(const sl_projector& projector) {
  return {view2(projector.ln_weight), view2(projector.ln_bias), view2(projector.w1),
          view2(projector.b1),        view2(projector.w2),      view2(projector.b2),
          view2(projector.w3),        view2(projector.b3)};
}

// A second set of tensors for the projector behind a handle: new weights, or gradients.
sl_status check_against(const Alignment& handle, const char* owner, const sl_projector* projector) {
  Sizes sizes{};
  SL_TRY(check_projector(owner, projector, &sizes));
  if (sizes.d != handle.d || sizes.p != handle.p || sizes.z != handle.z) {
    return invalid({owner},
                   "D,P,Z = %lld,%lld,%lld, expected %lld,%lld,%lld as in sl_alignment_create",
                   static_cast<long long>(sizes.d), static_cast<long long>(sizes.p),
                   static_cast<long long>(sizes.z), static_cast<long long>(handle.d),
                   static_cast<long long>(handle.p), static_cast<long long>(handle.z));
  }
  return check_same_device({"ln_weight", owner}, *projector->ln_weight, handle.device,
                           "the projector");
}

sl_status check_config(const sl_alignment_config* config) {
  SL_TRY(check_pointer({"config"}, config));
  SL_TRY(check_dtype({"compute", "config"}, config->compute));
  SL_TRY(check_flag({"trainable", "config"}, config->trainable));
  SL_TRY(check_finite({"ln_eps", "config"}, config->ln_eps));
  if (!(static_cast<float>(config->ln_eps) > 0.f)) {
    return invalid({"ln_eps", "config"}, "%g, expected a float32 above 0", config->ln_eps);
  }
  SL_TRY(check_probability({"dropout", "config"}, config->dropout));
  if (config->dropout != 0. && config->trainable == 0) {
    return invalid({"dropout", "config"}, "%g, expected 0 for a frozen projector (trainable = 0)",
                   config->dropout);
  }
  return SL_OK;
}

sl_status check_loss_args(const Alignment& handle, const sl_alignment_args& args) {
  const sl_device& device = handle.device;
  SL_TRY(check_matrix({"hidden"}, args.hidden, 3, 3, "[B,N,D]"));
  SL_TRY(check_dim({"hidden"}, *args.hidden, 2, handle.d, "columns of w1"));
  SL_TRY(check_same_device({"hidden"}, *args.hidden, device, "the projector"));
  const int64_t batch = args.hidden->shape[0], tokens = args.hidden->shape[1];

  SL_TRY(check_matrix({"teacher"}, args.teacher, 3, 3, "[B,N,Z]"));
  SL_TRY(check_dim({"teacher"}, *args.teacher, 2, handle.z, "rows of w3"));
  SL_TRY(check_dim({"teacher"}, *args.teacher, 0, batch, "batch of hidden"));
  SL_TRY(check_dim({"teacher"}, *args.teacher, 1, tokens, "tokens of hidden"));
  SL_TRY(check_same_device({"teacher"}, *args.teacher, device, "the projector"));

  const auto check_per_token = [&](const Arg& arg, const sl_tensor* tensor) {
    SL_TRY(check_matrix(arg, tensor, 2, 2, "[B,N]"));
    SL_TRY(check_dim(arg, *tensor, 0, batch, "batch of hidden"));
    SL_TRY(check_dim(arg, *tensor, 1, tokens, "tokens of hidden"));
    SL_TRY(check_float32(arg, *tensor));
    return check_same_device(arg, *tensor, device, "the projector");
  };
  if (args.token_weight != nullptr) SL_TRY(check_per_token({"token_weight"}, args.token_weight));
  if (args.cosine != nullptr) SL_TRY(check_per_token({"cosine"}, args.cosine));

  if (args.grad_scale != nullptr) {
    SL_TRY(check_number({"grad_scale"}, args.grad_scale));
    SL_TRY(check_same_device({"grad_scale"}, *args.grad_scale, device, "the projector"));
  }
  SL_TRY(check_number({"loss"}, args.loss));
  SL_TRY(check_same_device({"loss"}, *args.loss, device, "the projector"));

  if (args.grad_hidden != nullptr) {
    SL_TRY(check_matrix({"grad_hidden"}, args.grad_hidden, 3, 3, "[B,N,D]"));
    SL_TRY(check_same_shape({"grad_hidden"}, *args.grad_hidden, *args.hidden, "hidden"));
    SL_TRY(check_same_dtype({"grad_hidden"}, *args.grad_hidden, *args.hidden, "hidden"));
    SL_TRY(check_same_device({"grad_hidden"}, *args.grad_hidden, device, "the projector"));
  }
  if (args.grad_weights != nullptr) {
    if (!handle.trainable) {
      return invalid({"grad_weights"},
                     "given, expected NULL for a frozen projector (trainable = 0)");
    }
    SL_TRY(check_against(handle, "grad_weights", args.grad_weights));
  }
  SL_TRY(check_flag({"accumulate_hidden"}, args.accumulate_hidden));
  SL_TRY(check_flag({"accumulate_weights"}, args.accumulate_weights));
  return check_flag({"training"}, args.training);
}

sl_status check_loss_overlap(const sl_alignment_args& args) {
  OverlapCheck overlap;
  overlap.read({"hidden"}, args.hidden);
  overlap.read({"teacher"}, args.teacher);
  overlap.read({"token_weight"}, args.token_weight);
  overlap.read({"grad_scale"}, args.grad_scale);
  overlap.write({"loss"}, args.loss);
  overlap.write({"cosine"}, args.cosine);
  overlap.write({"grad_hidden"}, args.grad_hidden);
  if (args.grad_weights != nullptr) {
    for (const Parameter& p : kParameters) {
      overlap.write({p.name, "grad_weights"}, args.grad_weights->*p.tensor);
    }
  }
  return overlap.run();
}

}  // namespace

sl_status sl_alignment_create(const sl_projector* weights, const sl_alignment_config* config,
                              sl_alignment** out) {
  return guarded("sl_alignment_create", [&] {
    SL_TRY(check_pointer({"out"}, out));
    Sizes sizes{};
    SL_TRY(check_projector("weights", weights, &sizes));
    SL_TRY(check_config(config));
    const sl_tensor& first = *weights->ln_weight;
    const Backend* backend = nullptr;
    SL_TRY(find_backend(first.device, &backend));
    auto object =
        std::make_unique<Alignment>(Alignment{backend, nullptr, sizes.d, sizes.p, sizes.z,
                                              first.device, first.dtype, config->trainable == 1});
    AlignmentOptions options;
    options.compute = dtype_of(config->compute);
    options.trainable = object->trainable;
    options.ln_eps = static_cast<float>(config->ln_eps);
    options.dropout = static_cast<float>(config->dropout);
    SL_TRY(backend->alignment_create(views_of(*weights), options, &object->impl));
    *out = handles().add(std::move(object));
    return SL_OK;
  });
}

sl_status sl_alignment_update(sl_alignment* alignment, const sl_context* context,
                              const sl_projector* weights) {
  return guarded("sl_alignment_update", [&] {
    Held<Alignment> object;
    SL_TRY(handles().find(alignment, &object));
    SL_TRY(check_context(context));
    SL_TRY(check_against(*object, "weights", weights));
    if (weights->ln_weight->dtype.code != object->weight_dtype.code ||
        weights->ln_weight->dtype.bits != object->weight_dtype.bits) {
      return invalid({"ln_weight", "weights"},
                     "dtype code %d of %d bits, expected %d of %d bits as in sl_alignment_create",
                     weights->ln_weight->dtype.code, weights->ln_weight->dtype.bits,
                     object->weight_dtype.code, object->weight_dtype.bits);
    }
    return in_context_without_workspace(context, [&](const sl_context& used) {
      return object->backend->alignment_update(object->impl, used, views_of(*weights));
    });
  });
}

sl_status sl_alignment_loss(const sl_alignment* alignment, const sl_context* context,
                            const sl_alignment_args* args) {
  return guarded("sl_alignment_loss", [&] {
    Held<Alignment> object;
    SL_TRY(handles().find(alignment, &object));
    SL_TRY(check_context(context));
    SL_TRY(check_pointer({"args"}, args));
    SL_TRY(check_loss_args(*object, *args));
    SL_TRY(check_loss_overlap(*args));
    AlignmentCall call{};
    call.hidden = view3(args->hidden);
    call.teacher = view3(args->teacher);
    call.token_weight = view2(args->token_weight);
    call.grad_scale =
        args->grad_scale ? static_cast<const float*>(data_of(*args->grad_scale)) : nullptr;
    call.loss = static_cast<float*>(data_of(*args->loss));
    call.cosine = view2(args->cosine);
    call.grad_hidden = view3(args->grad_hidden);
    if (args->grad_weights != nullptr) call.grad_weights = views_of(*args->grad_weights);
    call.accumulate_hidden = args->accumulate_hidden == 1;
    call.accumulate_weights = args->accumulate_weights == 1;
    call.training = args->training == 1;
    call.dropout_seed = args->dropout_seed;
    return in_context(context, [&](const sl_context& used) {
      return object->backend->alignment_loss(object->impl, used, call);
    });
  });
}

void sl_alignment_destroy(sl_alignment* alignment) { handles().remove(alignment); }
