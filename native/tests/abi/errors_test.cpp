// Errors in the arguments of each call: shapes and dtypes that do not go together, numbers.
#include "abi/expect.h"

using namespace abi;

TEST(lora_shapes_that_do_not_fit_are_named) {
  expect(forward(), "x: shape [2,3,0], expected dimension 2 to be at least 1",
         [](Call& c) { c.at("x").shape[2] = 0; });
  expect(forward(), "linears[1].a: shape [2,4], expected last dimension 5 (columns of x)",
         [](Call& c) { c.at("linears[1].a").shape[1] = 4; });
  expect(forward(), "linears[0].a: shape [0,5], expected dimension 0 to be at least 1",
         [](Call& c) { c.at("linears[0].a").shape[0] = 0; });
  expect(forward(), "linears[0].b: shape [4,3], expected last dimension 2 (rows of a)",
         [](Call& c) { c.at("linears[0].b").shape[1] = 3; });
  expect(forward(), "linears[0].weight: shape [3,5], expected dimension 0 to be 4 (rows of b)",
         [](Call& c) { c.at("linears[0].weight").shape[0] = 3; });
  expect(forward(), "linears[1].bias: shape [5], expected last dimension 4 (rows of b)",
         [](Call& c) { c.at("linears[1].bias").shape[0] = 5; });
  expect(forward(), "linears[1].bias: given, expected NULL where weight is NULL",
         [](Call& c) { c.set_null("linears[1].weight"); });
  expect(forward(), "linears[0].y: NULL", [](Call& c) { c.set_null("linears[0].y"); });
  expect(forward(), "linears[0].y: shape [2,4,4], expected dimension 1 to be 3",
         [](Call& c) { c.at("linears[0].y").shape[1] = 4; });
  expect(forward(), "linears[0].y: bfloat16, expected float32 (the dtype of x)",
         [](Call& c) { c.at("linears[0].y").dtype = kBFloat16; });
  expect(forward(), "linears[0].b: bfloat16, expected float32 (the dtype of a)",
         [](Call& c) { c.at("linears[0].b").dtype = kBFloat16; });
  expect(forward(), "linears[0].s: shape [5,2], expected dimension 0 to be 6 (rows of x)",
         [](Call& c) { c.at("linears[0].s").shape[0] = 5; });
  expect(forward(), "linears[0].s: bfloat16, expected float32",
         [](Call& c) { c.at("linears[0].s").dtype = kBFloat16; });
  expect(forward(), "linears[0].s: strides [3,1] with shape [6,2], expected a contiguous tensor",
         [](Call& c) { c.at("linears[0].s").strides[0] = 3; });
  expect(forward(), "linears[1].a: device cuda:0, expected cpu:0 (the device of x)",
         [](Call& c) { c.at("linears[1].a").device.type = SL_CUDA; });
  expect(backward(), "linears[0].grad_y: NULL", [](Call& c) { c.set_null("linears[0].grad_y"); });
  expect(backward(), "linears[0].grad_a: shape [2,4], expected [2,5] (the shape of a)",
         [](Call& c) { c.at("linears[0].grad_a").shape[1] = 4; });
  expect(backward(), "linears[0].grad_b: bfloat16, expected float32 (the dtype of grad_a)",
         [](Call& c) { c.at("linears[0].grad_b").dtype = kBFloat16; });
  expect(backward(), "grad_x: shape [2,3,4], expected last dimension 5 (columns of x)",
         [](Call& c) { c.at("grad_x").shape[2] = 4; });
}

// Rows repeated by stride 0 need no memory; scratch for them would.
TEST(extents_beyond_the_most_are_refused) {
  const auto repeat = [](Call& c, const char* name, int dim, int64_t size) {
    c.at(name).strides[dim] = 0;
    c.at(name).shape[dim] = size;
  };
  const char* const expected = "rows and as many columns";
  for (const int64_t size : {(int64_t{1} << 26) + 1, int64_t{1} << 50}) {
    expect(forward(), expected, [&](Call& c) { repeat(c, "x", 0, size); });
    expect(forward(), expected, [&](Call& c) { repeat(c, "linears[0].a", 0, size); });
    expect(backward(), expected, [&](Call& c) { repeat(c, "linears[0].grad_y", 1, size); });
    expect(loss(), expected, [&](Call& c) { repeat(c, "hidden", 1, size); });
    expect(create(), expected, [&](Call& c) { repeat(c, "weights.layers[0].weight", 0, size); });
    expect(forward(), expected, [&](Call& c) { c.at("x").shape[2] = size; });
  }
}

TEST(lora_numbers_out_of_range_are_named) {
  expect(forward(), "linears[1].scale: nan, expected a finite number",
         [](Call& c) { c.linears[1].scale = NAN; });
  expect(forward(), "linears[0].scale: 1e+300, expected a finite number",
         [](Call& c) { c.linears[0].scale = 1e300; });
  expect(forward(), "context.num_threads: -1, expected 0 to 1024",
         [](Call& c) { c.context.num_threads = -1; });
  expect(forward(), "context.workspace: NULL with workspace_bytes 64, expected 0",
         [](Call& c) { c.context.workspace_bytes = 64; });
  expect(forward(), "context.fp32_precision: 2, expected 0 (IEEE) or 1 (TF32)",
         [](Call& c) { c.context.fp32_precision = 2; });
  static char memory[64];
  expect(forward(), "context.workspace_bytes: 64, expected at least", [](Call& c) {
    c.context.workspace = memory;
    c.context.workspace_bytes = 64;
  });
  CallPtr c = forward();
  for (double p : {-0.1, 1., 1 - 1e-12, static_cast<double>(NAN)}) {
    c->lora.dropout = p;
    CHECK_EQ(c->invoke(), SL_INVALID_ARGUMENT);
    CHECK(message_has("dropout: ") && message_has("expected a probability in [0, 1)"));
  }
  c->lora.dropout = 0;
  for (int64_t count : {int64_t{0}, int64_t{65}, INT64_MIN}) {
    c->lora.count = count;
    CHECK_EQ(c->invoke(), SL_INVALID_ARGUMENT);
    CHECK(message_has("count: ") && message_has("expected 1 to 64"));
  }
  expect(forward(), "linears: NULL", [](Call& f) { f.lora.linears = nullptr; });
  for (const auto null_args : {sl_lora_forward, sl_lora_backward}) {
    CHECK_EQ(null_args(nullptr, nullptr), SL_INVALID_ARGUMENT);
    CHECK(message_has("args: NULL"));
  }
  CHECK_EQ(sl_lora_merge(nullptr, nullptr), SL_INVALID_ARGUMENT);
  CHECK(message_has("args: NULL"));
  expect(backward(), "accumulate_x: 2, expected 0 or 1", [](Call& b) { b.lora.accumulate_x = 2; });
  expect(merge_call(9), "rounding: 2, expected 0 (nearest) or 1 (stochastic)",
         [](Call& m) { m.merge.rounding = 2; });
  expect(merge_call(9), "b: shape [3,2], expected dimension 0 to be 4 (rows of weight)",
         [](Call& m) { m.at("b").shape[0] = 3; });
}

TEST(wrong_alignment_arguments_are_named) {
  expect(create(), "weights.layers[1].weight: NULL",
         [](Call& c) { c.set_null("weights.layers[1].weight"); });
  expect(create(),
         "weights.norm_bias: shape [5], expected last dimension 6 (columns of layers[0].weight)",
         [](Call& c) { c.at("weights.norm_bias").shape[0] = 5; });
  expect(create(),
         "weights.layers[1].weight: shape [5,4], expected last dimension 5 (rows of the weight "
         "before)",
         [](Call& c) { c.at("weights.layers[1].weight").shape[1] = 4; });
  expect(create(), "weights.layers[2].weight: shape [0,5], expected dimension 0 to be at least 1",
         [](Call& c) { c.at("weights.layers[2].weight").shape[0] = 0; });
  expect(create(),
         "weights.layers[2].bias: bfloat16, expected float32 (the dtype of layers[0].weight)",
         [](Call& c) { c.at("weights.layers[2].bias").dtype = kBFloat16; });
  expect(create(), "weights.layers[0].bias: shape [4], expected last dimension 5 (rows of its",
         [](Call& c) { c.at("weights.layers[0].bias").shape[0] = 4; });
  expect(create(), "weights.layers[2].weight: given, expected NULL (desc.layers is 2)",
         [](Call& c) { c.desc.layers = 2; });
  expect(create(), "weights.layers[3].bias: given, expected NULL (desc.layers is 3)",
         [](Call& c) { c.weights.layers[3].bias = c.weights.layers[2].bias; });
  expect(create(), "weights.norm_weight: given, expected NULL (desc.norm is SL_NORM_NONE)",
         [](Call& c) { c.desc.norm = SL_NORM_NONE; });
  expect(create(), "weights.norm_bias: given, expected NULL like norm_weight",
         [](Call& c) { c.set_null("weights.norm_weight"); });
  expect(create(), "desc.size: 0, expected sizeof(sl_projector_desc) = 40",
         [](Call& c) { c.desc.size = 0; });
  expect(create(), "desc.layers: 0, expected 1 to 4", [](Call& c) { c.desc.layers = 0; });
  expect(create(), "desc.layers: 5, expected 1 to 4", [](Call& c) { c.desc.layers = 5; });
  expect(create(), "desc.norm: 3, expected 0 to 2 (sl_norm)", [](Call& c) { c.desc.norm = 3; });
  expect(create(), "desc.activation: -1, expected 0 to 4 (sl_activation)",
         [](Call& c) { c.desc.activation = -1; });
  expect(create(), "desc.norm_eps: 0, expected a float32 above 0",
         [](Call& c) { c.desc.norm_eps = 0; });
  expect(create(), "desc.norm_eps: nan", [](Call& c) { c.desc.norm_eps = NAN; });
  expect(create(), "desc.dropout: 0.5, expected 0 for a frozen projector",
         [](Call& c) { c.desc.dropout = 0.5; });
  expect(create(), "desc.trainable: 2, expected 0 or 1", [](Call& c) { c.desc.trainable = 2; });
  expect(create(), "desc.compute: dtype (code 2, bits 8", [](Call& c) { c.desc.compute.bits = 8; });
  expect(alignment_update_call(1),
         "weights.layers[2].weight: shape [2,5], expected dimension 0 to be 3 (as in "
         "sl_alignment_create)",
         [](Call& c) {
           c.at("weights.layers[2].weight").shape[0] = 2;
           c.at("weights.layers[2].bias").shape[0] = 2;
         });
  expect(alignment_update_call(1),
         "weights.layers[1].bias: NULL, expected a tensor as in sl_alignment_create",
         [](Call& c) { c.set_null("weights.layers[1].bias"); });
  expect(loss(), "hidden: shape [2,3,5], expected last dimension 6 (columns of layers[0].weight)",
         [](Call& c) { c.at("hidden").shape[2] = 5; });
  expect(loss(), "teacher: shape [2,3,4], expected last dimension 3 (rows of the last layer's",
         [](Call& c) { c.at("teacher").shape[2] = 4; });
  expect(loss(), "teacher: shape [2,2,3], expected dimension 1 to be 3 (tokens of hidden)",
         [](Call& c) { c.at("teacher").shape[1] = 2; });
  expect(loss(), "token_weight: bfloat16, expected float32",
         [](Call& c) { c.at("token_weight").dtype = kBFloat16; });
  expect(loss(), "cosine: shape [1,3], expected dimension 0 to be 2",
         [](Call& c) { c.at("cosine").shape[0] = 1; });
  expect(loss(), "loss: NULL", [](Call& c) { c.set_null("loss"); });
  expect(loss(), "grad_scale: shape [2], expected one number",
         [](Call& c) { c.at("grad_scale").shape[0] = 2; });
  expect(loss(), "grad_hidden: bfloat16, expected float32 (the dtype of hidden)",
         [](Call& c) { c.at("grad_hidden").dtype = kBFloat16; });
  expect(loss(), "training: 3, expected 0 or 1", [](Call& c) { c.alignment_args.training = 3; });
  expect(loss(), "grad_weights.layers[0].bias: NULL",
         [](Call& c) { c.set_null("grad_weights.layers[0].bias"); });
  const auto of = [](int32_t kind) {
    CallPtr call = loss();
    call->loss_desc.kind = kind;
    call->alignment_args.loss_desc = &call->loss_desc;
    return call;
  };
  expect(of(SL_LOSS_L2), "loss_desc.size: 0, expected sizeof(sl_loss_desc) = 48",
         [](Call& c) { c.loss_desc.size = 0; });
  expect(of(4), "loss_desc.kind: 4, expected 0 to 3 (sl_loss_kind)", [](Call&) {});
  expect(of(SL_LOSS_L2), "loss_desc.normalize: 2, expected 0 or 1",
         [](Call& c) { c.loss_desc.normalize = 2; });
  expect(of(SL_LOSS_COSINE), "loss_desc.teacher_norm: 2, expected 0 to 1 (sl_teacher_norm)",
         [](Call& c) { c.loss_desc.teacher_norm = 2; });
  expect(of(SL_LOSS_SMOOTH_L1), "loss_desc.beta: 0, expected a float32 above 0",
         [](Call& c) { c.loss_desc.beta = 0; });
  expect(of(SL_LOSS_INFONCE), "loss_desc.temperature: 1e-60, expected a float32 above 0",
         [](Call& c) { c.loss_desc.temperature = 1e-60; });
  expect(of(SL_LOSS_INFONCE), "loss_desc.negatives: 3, expected 0 to 2 (sl_negatives)",
         [](Call& c) { c.loss_desc.negatives = 3; });
  expect(of(SL_LOSS_INFONCE), "loss_desc.false_negatives: 1.5, expected 0 to 1",
         [](Call& c) { c.loss_desc.false_negatives = 1.5; });
  const auto shrink = [](int dim) {
    return [=](Call& c) {
      for (const char* name : {"hidden", "teacher", "token_weight", "cosine", "grad_hidden"}) {
        c.at(name).shape[dim] = 1;
      }
      c.loss_desc.negatives = dim == 0 ? SL_NEGATIVES_OTHERS : SL_NEGATIVES_IMAGE;
    };
  };
  expect(of(SL_LOSS_INFONCE), "hidden: 1 images, expected at least 2 (SL_LOSS_INFONCE)", shrink(0));
  expect(of(SL_LOSS_INFONCE), "hidden: 1 tokens to tell apart, expected at least 2", shrink(1));
  CallPtr frozen = create();
  CHECK_EQ(frozen->invoke(), SL_OK);
  CallPtr c = loss();
  std::swap(c->alignment, frozen->alignment);
  CHECK_EQ(c->invoke(), SL_INVALID_ARGUMENT);
  CHECK(message_has("grad_weights: given, expected NULL for a frozen projector"));
}

TEST(wrong_adamw_arguments_are_named) {
  expect(optimizer(), "params[0].exp_avg: shape [3,5], expected [3,4] (the shape of param)",
         [](Call& c) { c.at("params[0].exp_avg").shape[1] = 5; });
  expect(optimizer(), "params[1].exp_avg_sq: bfloat16, expected float32",
         [](Call& c) { c.at("params[1].exp_avg_sq").dtype = kBFloat16; });
  expect(optimizer(), "params[0].master: given for a float32 param, expected NULL",
         [](Call& c) { c.at("params[0].param").dtype = kFloat32; });
  expect(optimizer(), "params[1].remainder: given for a float32 param, expected NULL",
         [](Call& c) { c.at("params[1].param").dtype = kFloat32; });
  expect(optimizer(), "params[0].remainder: given beside a master, expected one of the two",
         [](Call& c) { c.params[0].remainder = c.params[1].remainder; });
  expect(optimizer(), "params[1].remainder: float32, expected int16 (code 0, bits 16, lanes 1)",
         [](Call& c) { c.at("params[1].remainder").dtype = kFloat32; });
  expect(optimizer(), "params[1].remainder: shape [6], expected [7] (the shape of param)",
         [](Call& c) { c.at("params[1].remainder").shape[0] = 6; });
  expect(optimizer(), "params[1].remainder: strides [2], expected 1 in the last dimension",
         [](Call& c) { c.at("params[1].remainder").strides[0] = 2; });
  expect(optimizer(), "params[1].remainder: device cuda:0, expected cpu:0 (the device of param)",
         [](Call& c) {
           c.at("params[1].remainder").device = {SL_CUDA, 0};
         });
  expect(optimizer(), "params[1].exp_avg: int16, expected float32",
         [](Call& c) { c.at("params[1].exp_avg").dtype = kInt16; });
  expect(step(), "lr: shape [1], expected last dimension 2 (group_count)",
         [](Call& c) { c.at("lr").shape[0] = 1; });
  expect(step(), "lr: bfloat16, expected float32", [](Call& c) { c.at("lr").dtype = kBFloat16; });
  expect(step(), "lr: strides [2], expected 1 in the last dimension",
         [](Call& c) { c.at("lr").strides[0] = 2; });
  expect(step(), "lr: device cuda:0, expected cpu:0 (the device of params[0].param)", [](Call& c) {
    c.at("lr").device = {SL_CUDA, 0};
  });
  expect(optimizer(), "params[0].param: strides [5,1] with shape [3,4], expected a contiguous",
         [](Call& c) { c.at("params[0].param").strides[0] = 5; });
  expect(optimizer(), "params[1].group: -1, expected 0 to",
         [](Call& c) { c.params[1].group = -1; });
  expect(step(), "grads[0]: shape [3,3], expected [3,4] (the shape of its parameter)",
         [](Call& c) { c.at("grads[0]").shape[1] = 3; });
  expect(step(), "report: shape [3], expected last dimension 4",
         [](Call& c) { c.at("report").shape[0] = 3; });
  expect(step(), "group_count: 1, expected at least 2",
         [](Call& c) { c.step_args.group_count = 1; });
  expect(step(), "count: 3, expected 2 as in sl_adamw_create",
         [](Call& c) { c.step_args.count = 3; });
  expect(step(), "groups: NULL", [](Call& c) { c.step_args.groups = nullptr; });
  expect(step(), "groups[1].lr: -1, expected a finite number of at least 0",
         [](Call& c) { c.groups[1].lr = -1; });
  expect(step(), "groups[0].beta1: 1, expected a number in [0, 1)",
         [](Call& c) { c.groups[0].beta1 = 1; });
  expect(step(), "groups[0].beta2: nan", [](Call& c) { c.groups[0].beta2 = NAN; });
  expect(step(), "groups[0].eps: 0, expected a finite float32 above 0",
         [](Call& c) { c.groups[0].eps = 0; });
  expect(step(), "groups[1].weight_decay: inf",
         [](Call& c) { c.groups[1].weight_decay = INFINITY; });
  expect(step(), "grad_scale: inf, expected a finite number",
         [](Call& c) { c.step_args.grad_scale = INFINITY; });
  expect(step(), "max_grad_norm: -1, expected a finite number of at least 0",
         [](Call& c) { c.step_args.max_grad_norm = -1; });
  expect(step(), "zero_grads: 2, expected 0 or 1", [](Call& c) { c.step_args.zero_grads = 2; });
  CallPtr c = step();
  int64_t steps[3] = {5, -2, 9};
  CHECK_EQ(sl_adamw_set_steps(c->adamw, steps, 2), SL_INVALID_ARGUMENT);
  CHECK(message_has("steps[1]: -2, expected at least 0"));
  CHECK_EQ(sl_adamw_get_steps(c->adamw, steps, 3), SL_INVALID_ARGUMENT);
  CHECK(message_has("count: 3, expected 2"));
  CHECK_EQ(steps[0], 5);  // untouched
  CHECK_EQ(sl_adamw_get_steps(c->adamw, nullptr, 2), SL_INVALID_ARGUMENT);
  CHECK(message_has("steps: NULL"));
  CHECK_EQ(sl_adamw_get_steps(c->adamw, steps, 2), SL_OK);
  CHECK_EQ(steps[0], 0);  // the refused set_steps set none
}

TEST_MAIN()
