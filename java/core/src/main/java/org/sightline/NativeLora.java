package org.sightline;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.sightline.binding.Scopes;
import org.sightline.binding.sightline;
import org.sightline.binding.sl_context;
import org.sightline.binding.sl_lora_linear;
import org.sightline.binding.sl_tensor;

/** Calls of {@code sl_lora_*} on libtorch tensors. */
final class NativeLora {
  /** One adapted linear layer in a call: what does not change between forward and backward. */
  record Adapter(Tensor weight, Tensor bias, Tensor a, Tensor b, double scale, long dropoutSeed) {}

  private static final ThreadLocal<NativeLora> FRAMES = ThreadLocal.withInitial(NativeLora::new);

  private final TensorDescriptor input = new TensorDescriptor();
  private final TensorDescriptor inputGradient = new TensorDescriptor();
  private Slot[] slots = {};
  private sl_lora_linear linears;

  /** The descriptors of one linear, and its place in the array. */
  private static final class Slot {
    final sl_lora_linear linear;
    final TensorDescriptor weight = new TensorDescriptor();
    final TensorDescriptor bias = new TensorDescriptor();
    final TensorDescriptor a = new TensorDescriptor();
    final TensorDescriptor b = new TensorDescriptor();
    final TensorDescriptor y = new TensorDescriptor();
    final TensorDescriptor s = new TensorDescriptor();
    final TensorDescriptor da = new TensorDescriptor();
    final TensorDescriptor db = new TensorDescriptor();

    Slot(sl_lora_linear linear) {
      this.linear = linear;
    }

    /** Fills every field, as the memory is used again from call to call. */
    void set(Adapter adapter) {
      linear
          .weight(weight.of("weight", adapter.weight()))
          .bias(optional(bias, "bias", adapter.bias()))
          .a(a.of("loraA", adapter.a()))
          .b(b.of("loraB", adapter.b()))
          .scale(adapter.scale())
          .dropout_seed(adapter.dropoutSeed())
          .y(null)
          .s(null)
          .dy(null)
          .da(null)
          .db(null);
    }
  }

  private NativeLora() {}

  /**
   * Writes y of every adapter and, where {@code s} has a tensor, what the backward pass wants.
   *
   * @param x [...,K], rows contiguous
   */
  static void forward(
      Tensor x, double dropout, List<Adapter> adapters, List<Tensor> y, List<Tensor> s) {
    NativeLora frame = FRAMES.get();
    frame.reserve(adapters.size());
    sl_tensor input = frame.input.of("x", x);
    for (int i = 0; i < adapters.size(); i++) {
      Slot slot = frame.slots[i];
      slot.set(adapters.get(i));
      slot.linear.y(slot.y.of("y", y.get(i))).s(optional(slot.s, "s", s.get(i)));
    }
    NativeCalls.check(
        sightline.sl_lora_forward(
            CallContext.of(x), input, dropout, frame.linears, adapters.size()));
  }

  /** Gradients of one linear: upstream dy, then outputs, each null if not wanted. */
  record Gradients(Tensor s, Tensor dy, Tensor da, Tensor db) {}

  /**
   * Writes the gradients asked for.
   *
   * @param dx [...,K], or null
   */
  static void backward(
      Tensor x, double dropout, List<Adapter> adapters, List<Gradients> gradients, Tensor dx) {
    NativeLora frame = FRAMES.get();
    frame.reserve(adapters.size());
    sl_tensor input = frame.input.of("x", x);
    for (int i = 0; i < adapters.size(); i++) {
      Slot slot = frame.slots[i];
      Gradients gradient = gradients.get(i);
      slot.set(adapters.get(i));
      slot.linear
          .s(optional(slot.s, "s", gradient.s()))
          .dy(slot.y.of("dy", gradient.dy()))
          .da(optional(slot.da, "da", gradient.da()))
          .db(optional(slot.db, "db", gradient.db()));
    }
    NativeCalls.check(
        sightline.sl_lora_backward(
            CallContext.of(x),
            input,
            dropout,
            frame.linears,
            adapters.size(),
            optional(frame.inputGradient, "dx", dx),
            0,
            0));
  }

  /** {@code sl_lora_merge} or {@code sl_lora_unmerge}. */
  private interface MergeCall {
    int run(
        sl_context context,
        sl_tensor weight,
        sl_tensor a,
        sl_tensor b,
        double scale,
        int rounding,
        long seed);
  }

  /** Adds scale·BA to the weight, rounded to nearest. */
  static void merge(Tensor weight, Tensor a, Tensor b, double scale) {
    addDelta(sightline::sl_lora_merge, weight, a, b, scale);
  }

  /** Takes scale·BA out of the weight again, rounded to nearest. */
  static void unmerge(Tensor weight, Tensor a, Tensor b, double scale) {
    addDelta(sightline::sl_lora_unmerge, weight, a, b, scale);
  }

  private static void addDelta(MergeCall call, Tensor weight, Tensor a, Tensor b, double scale) {
    NativeLora frame = FRAMES.get();
    frame.reserve(1);
    Slot slot = frame.slots[0];
    NativeCalls.check(
        call.run(
            CallContext.of(weight),
            slot.weight.of("weight", weight),
            slot.a.of("loraA", a),
            slot.b.of("loraB", b),
            scale,
            sightline.SL_ROUND_NEAREST,
            0));
    // Also what saved the weight for its backward pass must hear of it.
    Tensors.bumpVersion(weight);
  }

  private static sl_tensor optional(TensorDescriptor descriptor, String name, Tensor tensor) {
    return tensor == null ? null : descriptor.of(name, tensor);
  }

  private void reserve(int count) {
    if (slots.length >= count) {
      return;
    }
    // The old array stays reachable through its slots until they are collected.
    linears = Scopes.own(new sl_lora_linear(count));
    slots = new Slot[count];
    for (int i = 0; i < count; i++) {
      slots[i] = new Slot(Scopes.own(linears.getPointer(i)));
    }
  }
}
