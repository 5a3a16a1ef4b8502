// sl_alignment_*: checks, then one call into the backend.
#include <memory>

#include "api/arguments.h"
#include "api/backends.h"
#include "api/context.h"
#include "api/handles.h"
#include "api/loss.h"
#include "api/overlap.h"
#include "api/projector.h"
#include "api/views.h"

using namespace sightline;

namespace {

struct Alignment {
  const Backend* backend = nullptr;
  void* impl = nullptr;
  ProjectorShape projector;

  ~Alignment() {
    if (impl != nullptr) backend->alignment_destroy(impl);
  }
};

Handles<sl_alignment, Alignment>& handles() {
  // Outlives every static destructor.
  static auto* all = new Handles<sl_alignment, Alignment>("alignment", "sl_alignment_create");
  return *all;
}

sl_status check_loss_args(const ProjectorShape& projector, const sl_alignment_args& args) {
  const sl_device& device = projector.device;
  const LayerViews& first = projector.views.layers[0];
  const LayerViews& last = projector.views.layers[projector.options.layers - 1];
  SL_TRY(check_matrix({"hidden"}, args.hidden, 3, 3, "[B,N,D]"));
  SL_TRY(check_dim({"hidden"}, *args.hidden, 2, first.weight.cols, "columns of layers[0].weight"));
  SL_TRY(check_same_device({"hidden"}, *args.hidden, device, "the projector"));
  const int64_t batch = args.hidden->shape[0], tokens = args.hidden->shape[1];

  SL_TRY(check_matrix({"teacher"}, args.teacher, 3, 3, "[B,N,Z]"));
  SL_TRY(check_dim({"teacher"}, *args.teacher, 2, last.weight.rows,
                   "rows of the last layer's weight"));
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
    if (!projector.options.trainable) {
      return invalid({"grad_weights"},
                     "given, expected NULL for a frozen projector (trainable = 0)");
    }
    SL_TRY(check_like(kGradWeights, args.grad_weights, projector));
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
    SL_TRY(
        for_each_tensor(kGradWeights, *args.grad_weights, [&](const Arg& arg, const sl_tensor* t) {
          overlap.write(arg, t);
          return SL_OK;
        }));
  }
  return overlap.run();
}

}  // namespace

sl_status sl_alignment_create(const sl_projector* weights, const sl_projector_desc* desc,
                              sl_alignment** out) {
  return guarded("sl_alignment_create", [&] {
    SL_TRY(check_pointer({"out"}, out));
    auto object = std::make_unique<Alignment>();
    SL_TRY(check_description(desc, &object->projector.options));
    SL_TRY(check_parameters(weights, &object->projector));
    SL_TRY(find_backend(object->projector.device, &object->backend));
    SL_TRY(object->backend->alignment_create(object->projector.views, object->projector.options,
                                             &object->impl));
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
    SL_TRY(check_like(kWeights, weights, object->projector));
    const sl_dtype &found = weights->layers[0].weight->dtype, &expected = object->projector.dtype;
    if (found.code != expected.code || found.bits != expected.bits) {
      return invalid({"weight", kWeights.layers, 0}, "%s, expected %s as in sl_alignment_create",
                     dtype_name(found).chars, dtype_name(expected).chars);
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
    SL_TRY(check_loss_args(object->projector, *args));
    LossOptions loss;
    SL_TRY(check_loss(args->loss_desc, args->hidden->shape[0], args->hidden->shape[1], &loss));
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
    call.loss_options = loss;
    return in_context(context, [&](const sl_context& used) {
      return object->backend->alignment_loss(object->impl, used, call);
    });
  });
}

void sl_alignment_destroy(sl_alignment* alignment) { handles().remove(alignment); }
