// Tensors by themselves and in one another's way: descriptors, strides, memory.
#include "abi/expect.h"

using namespace abi;

TEST(what_is_wrong_with_a_tensor_is_named) {
  expect(forward(), "x: NULL, expected a pointer", [](Call& c) { c.set_null("x"); });
  expect(forward(), "x: 4 dimensions, expected 1 to 3, [...,K]",
         [](Call& c) { c.at("x").ndim = 4; });
  expect(loss(), "hidden: 2 dimensions, expected 3, [B,N,D]",
         [](Call& c) { c.at("hidden").ndim = 2; });
  expect(forward(), "x: shape is NULL, expected 3 sizes",
         [](Call& c) { c.at("x").shape = nullptr; });
  expect(forward(), "x: shape [2,-3,5], expected no size below 0",
         [](Call& c) { c.at("x").shape[1] = -3; });
  expect(forward(), "x: dtype (code 0, bits 32, lanes 1), expected float32 (code 2",
         [](Call& c) { c.at("x").dtype.code = 0; });
  expect(forward(), "x: dtype (code 2, bits 64, lanes 1)",
         [](Call& c) { c.at("x").dtype.bits = 64; });
  expect(forward(), "x: dtype (code 2, bits 32, lanes 4)",
         [](Call& c) { c.at("x").dtype.lanes = 4; });
  expect(forward(), "x: device type 3, expected 1 (CPU) or 2 (CUDA)",
         [](Call& c) { c.at("x").device.type = 3; });
  expect(forward(), "x: device cpu:1, expected cpu:0", [](Call& c) { c.at("x").device.id = 1; });
  expect(forward(), "x: device id -1, expected at least 0", [](Call& c) {
    c.at("x").device = {SL_CUDA, -1};
  });
  expect(forward(), "x: strides [24,8,2], expected 1 in the last dimension",
         [](Call& c) { c.at("x").strides[2] = 2; });
  expect(forward(), "x: strides [24,-8,1], expected none below 0",
         [](Call& c) { c.at("x").strides[1] = -8; });
  expect(forward(), "x: data is NULL with shape [2,3,5]",
         [](Call& c) { c.at("x").data = nullptr; });
  expect(forward(), "expected a multiple of 4, the element size",
         [](Call& c) { c.at("x").byte_offset = 2; });
  expect(forward(), "expected an extent within the address space",
         [](Call& c) { c.at("x").byte_offset = UINT64_MAX - 64; });
  expect(forward(), "expected an extent within the address space",
         [](Call& c) { c.at("x").strides[0] = INT64_MAX; });
  expect(forward(), "x: shape [4611686018427387904,3,5], expected fewer than 2^63 bytes",
         [](Call& c) { c.at("x").shape[0] = int64_t{1} << 62; });
}

TEST(frameworks_strides_of_single_elements_are_ignored) {
  CallPtr call = lora_call(8, "forward");
  for (const char* name : {"x", "linears[0].y", "linears[1].y"}) {
    call->at(name).shape[0] = 1;
    call->at(name).strides[0] = -12345;
  }
  for (const char* name : {"linears[0].s", "linears[1].s"}) call->at(name).shape[0] = 3;
  bool kept = false;
  CHECK_EQ(call->run(&kept), SL_OK);
}

TEST(outputs_that_overlap_are_refused) {
  const auto onto = [](const char* name, const char* other) {
    return [=](Call& c) { c.at(name).data = c.at(other).data; };
  };
  expect(loss(), "grad_hidden: overlaps hidden in memory", onto("grad_hidden", "hidden"));
  expect(loss(), "grad_hidden: overlaps teacher in memory", onto("grad_hidden", "teacher"));
  expect(loss(), "loss: overlaps cosine in memory", onto("loss", "cosine"));
  expect(loss(), "grad_weights.layers[0].weight: overlaps grad_weights.layers[1].weight in memory",
         onto("grad_weights.layers[0].weight", "grad_weights.layers[1].weight"));
  expect(forward(), "linears[0].y: overlaps x in memory", onto("linears[0].y", "x"));
  expect(forward(), "linears[0].y: overlaps linears[1].y in memory",
         onto("linears[0].y", "linears[1].y"));
  expect(backward(), "grad_x: overlaps linears[1].grad_y in memory",
         onto("grad_x", "linears[1].grad_y"));
  expect(merge_call(1), "weight: overlaps b in memory", onto("weight", "b"));
  expect(step(), "overlaps params[1].param in memory", onto("grads[1]", "params[1].param"));
  expect(optimizer(), "params[0].exp_avg", onto("params[0].exp_avg_sq", "params[0].exp_avg"));
  expect(optimizer(), "overlaps params[1].", onto("params[1].remainder", "params[1].exp_avg"));
  expect(step(), "overlaps params[1].exp_avg in memory", onto("lr", "params[1].exp_avg"));
  // The last byte of one on the first of the other; and one byte further they are apart.
  for (int64_t apart : {0, 1}) {
    CallPtr c = forward();
    sl_tensor &x = c->at("x"), &y = c->at("linears[0].y");
    const int64_t x_bytes = (1 * x.strides[0] + 2 * x.strides[1] + 5) * 4;
    y.data = static_cast<char*>(x.data) + x_bytes + 4 * (apart - 1);
    bool kept;
    c->run(&kept);
    CHECK_EQ(message_has("linears[0].y: overlaps x") && apart == 0, apart == 0);
    if (apart) {
      CHECK_EQ(c->invoke(), SL_OK);
    }
  }
  expect(forward(), "linears[0].y: strides make its elements overlap",
         [](Call& c) { c.at("linears[0].y").strides[1] = 3; });
  expect(loss(), "grad_hidden: strides make its elements overlap",
         [](Call& c) { c.at("grad_hidden").strides[0] = 0; });
}

TEST(broadcast_and_permuted_views_are_allowed) {
  CallPtr c = loss();
  c->at("teacher").strides[0] = 0;                      // one teacher for the whole batch
  for (const char* name : {"hidden", "grad_hidden"}) {  // stored as [N,B,D]
    c->at(name).strides[0] = 9;
    c->at(name).strides[1] = 18;
  }
  bool kept;
  CHECK_EQ(c->run(&kept), SL_OK);
}

TEST(float16_is_refused) {
  bool kept = false;
  CallPtr call = create();
  call->desc.compute.bits = 16;
  CHECK_EQ(call->run(&kept), SL_INVALID_ARGUMENT);
  CHECK(kept);
  CHECK(message_has(
      "desc.compute: float16, expected float32 (code 2, bits 32, lanes 1) or bfloat16"));
  call = forward();
  call->at("x").dtype.bits = 16;
  CHECK_EQ(call->run(&kept), SL_INVALID_ARGUMENT);
  CHECK(kept);
  CHECK(message_has("x: float16, expected float32 (code 2, bits 32, lanes 1) or bfloat16"));
}

TEST_MAIN()
