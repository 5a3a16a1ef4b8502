package org.sightline;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.sightline.binding.Scopes;
import org.sightline.binding.sightline;
import org.sightline.binding.sl_lora_args;
import org.sightline.binding.sl_lora_linear;
import org.sightline.binding.sl_lora_merge_args;
import org.sightline.binding.sl_tensor;

/** Calls of {@code sl_lora_*} on libtorch tensors. */
final class NativeLora {
  /** One adapted linear layer in a call: what does not change between forward and backward. */
  record Adapter(Tensor weight, Tensor bias, Tensor a, Tensor b, double scale, long dropoutSeed) {}

  private static final ThreadLocal<NativeLora> FRAMES = ThreadLocal.withInitial(NativeLora::new);

  private final TensorDescriptor input = new TensorDescriptor();
  private final TensorDescriptor inputGradient = new TensorDescriptor();
  private Slot[] slots = {};
  private final sl_lora_args args = Scopes.own(new sl_lora_args());
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
          .grad_y(null)
          .grad_a(null)
          .grad_b(null);
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
    if (areMeta(x, adapters)) {
      return;
    }
    NativeLora frame = FRAMES.get();
    frame.set(x, dropout, adapters.size());
    for (int i = 0; i < adapters.size(); i++) {
      Slot slot = frame.slots[i];
      slot.set(adapters.get(i));
      slot.linear.y(slot.y.of("y", y.get(i))).s(optional(slot.s, "s", s.get(i)));
    }
    CallContext.run(x, context -> sightline.sl_lora_forward(context, frame.args));
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
    if (areMeta(x, adapters)) {
      return;
    }
    NativeLora frame = FRAMES.get();
    frame.set(x, dropout, adapters.size());
    for (int i = 0; i < adapters.size(); i++) {
      Slot slot = frame.slots[i];
      Gradients gradient = gradients.get(i);
      slot.set(adapters.get(i));
      slot.linear
          .s(optional(slot.s, "s", gradient.s()))
          .grad_y(slot.y.of("dy", gradient.dy()))
          .grad_a(optional(slot.da, "da", gradient.da()))
          .grad_b(optional(slot.db, "db", gradient.db()));
    }
    frame.args.grad_x(optional(frame.inputGradient, "dx", dx));
    CallContext.run(x, context -> sightline.sl_lora_backward(context, frame.args));
  }

  /** Adds scale·BA to the weight, rounded to nearest; a negative scale takes it out again. */
  static void merge(Tensor weight, Tensor a, Tensor b, double scale) {
    NativeLora frame = FRAMES.get();
    frame.reserve(1);
    Slot slot = frame.slots[0];
    try (sl_lora_merge_args args = new sl_lora_merge_args()) {
      args.weight(slot.weight.of("weight", weight))
          .a(slot.a.of("loraA", a))
          .b(slot.b.of("loraB", b))
          .scale(scale)
          .rounding(sightline.SL_ROUND_NEAREST)
          .seed(0);
      CallContext.run(weight, context -> sightline.sl_lora_merge(context, args));
    }
    // Also what saved the weight for its backward pass must hear of it.
    Tensors.bumpVersion(weight);
  }

  private static boolean areMeta(Tensor x, List<Adapter> adapters) {
    return x.is_meta()
        && adapters.stream()
            .allMatch(each -> Tensors.areMeta(each.weight(), each.bias(), each.a(), each.b()));
  }

  private static sl_tensor optional(TensorDescriptor descriptor, String name, Tensor tensor) {
    return tensor == null ? null : descriptor.of(name, tensor);
  }

  private void set(Tensor x, double dropout, int count) {
    reserve(count);
    args.x(input.of("x", x))
        .linears(linears)
        .count(count)
        .dropout(dropout)
        .grad_x(null)
        .accumulate_x(0)
        .accumulate_weights(0);
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
