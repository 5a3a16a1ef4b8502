package org.sightline.autograd;

import java.util.List;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.Edge;
import org.bytedeco.pytorch.FunctionPreHook;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Node;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.sightline.binding.Scopes;

/**
 * Scalars whose gradients are computed together with them, such as a loss with a fused kernel. They
 * enter libtorch's graph as one of its own nodes, which multiplies the gradient by what comes from
 * above: the backward pass runs no Java code and, on a GPU, waits for nothing. (Gradients narrower
 * than the value, on the CPU, are a node of Java's, which is faster there.)
 *
 * <pre>{@code
 * private static final PrecomputedGradient GRADIENT = new PrecomputedGradient("SquaredNorm");
 *
 * Tensor squaredNorm(Tensor x) {
 *   try (NoGradGuard noGrad = new NoGradGuard()) {
 *     value = x.square().sum();
 *     gradient = x.mul(new Scalar(2));
 *   }
 *   return GRADIENT.attach(value, List.of(x), List.of(gradient));
 * }
 * }</pre>
 *
 * <p>Gradients are first order only: with {@code create_graph} the first backward pass succeeds,
 * one through its result is refused with a message. For functions of another kind there is {@link
 * CustomFunction}.
 *
 * <p>How it works: {@code mul} of an empty tensor costs nothing, yet leaves a node that has saved
 * the other factor, here the gradient. The node's next edge is pointed at the input and the value
 * is made its output. The saved gradient is itself made the output of a node that refuses to be
 * differentiated, so that libtorch will not take it for a constant.
 *
 * <p>Thread-safe.
 */
public final class PrecomputedGradient {
  /** Broadcasts with tensors of any shape of fewer dimensions, to nothing. */
  private static final long[] EMPTY = {0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

  private static final long[] SCALAR = {};
  private static final int CPU = -1;

  private final String name;
  private final ConcurrentMap<Integer, Constants> constants = new ConcurrentHashMap<>();

  /**
   * A kind of value.
   *
   * @param name for error messages
   */
  public PrecomputedGradient(String name) {
    this.name = Objects.requireNonNull(name, "name");
  }

  /**
   * Makes {@code value} differentiable, if gradients are being recorded.
   *
   * @param value scalar, without a graph so far
   * @param inputs that require gradients; null or others where {@code gradients} has null
   * @param gradients ∂value/∂input for each input, of its shape, dtype and device, or null; kept
   *     for the backward pass, not to be used otherwise from now on
   * @return the value with its graph: {@code value} itself if there is one gradient, of its dtype
   * @throws IllegalArgumentException if {@code value} is no scalar, a gradient's shape is not its
   *     input's, or its input requires no gradient
   */
  public Tensor attach(Tensor value, List<Tensor> inputs, List<Tensor> gradients) {
    if (value.dim() != 0) {
      throw new IllegalArgumentException(
          name + ": value must be a scalar, found " + TensorSpec.of(value));
    }
    if (gradients.size() != inputs.size()) {
      throw new IllegalArgumentException(
          name + ": expected " + inputs.size() + " gradients, found " + gradients.size());
    }
    if (!GradMode.is_enabled()) {
      return value;
    }
    Tensor sum = null;
    for (int i = 0; i < inputs.size(); i++) {
      Tensor gradient = gradients.get(i);
      if (gradient == null) {
        continue;
      }
      check(i, inputs.get(i), gradient);
      // An output has one node: further gradients come in with zeros that are added.
      Tensor part = attach(sum == null ? value : torch.zeros_like(value), inputs.get(i), gradient);
      sum = sum == null ? part : sum.add(part);
    }
    return sum == null ? value : sum;
  }

  private Tensor attach(Tensor value, Tensor input, Tensor gradient) {
    // What comes from above must not be rounded to a narrower dtype before it is multiplied, as a
    // scalar would be. A vector is not, but on a CPU that takes three passes for one.
    boolean widens = gradient.scalar_type().intern() != value.scalar_type().intern();
    if (widens && gradient.is_cpu()) {
      return new Scaling(value, gradient).apply(input).get(0);
    }
    Tensor output = widens ? value.view(1) : value;
    try (PointerScope scope = new PointerScope()) {
      Constants constants = constants(gradient);
      makeOutputOf(constants.refusal().neg().grad_fn(), gradient);
      Node node = constants.empty().mul(gradient).grad_fn();
      node.set_next_edge(0, FunctionNode.edgeOf(input));
      node.set_next_edge(1, new Edge());
      makeOutputOf(node, output);
    }
    return widens ? output.view(SCALAR) : output;
  }

  private void check(int index, Tensor input, Tensor gradient) {
    if (!input.requires_grad()) {
      throw new IllegalArgumentException(
          name + ": input " + index + " has a gradient, so it must require one; it does not");
    }
    boolean same = gradient.dim() == input.dim() && gradient.dim() < EMPTY.length;
    for (int d = 0; same && d < input.dim(); d++) {
      same = gradient.size(d) == input.size(d);
    }
    if (!same) {
      throw new IllegalArgumentException(
          "%s: gradient of input %s must be %s of at most %s dimensions, found %s"
              .formatted(
                  name, index, TensorSpec.of(input), EMPTY.length - 1, TensorSpec.of(gradient)));
    }
  }

  private static void makeOutputOf(Node node, Tensor output) {
    node.clear_input_metadata();
    torch.create_gradient_edge(output, node);
  }

  private Constants constants(Tensor gradient) {
    return constants.computeIfAbsent(
        gradient.is_cpu() ? CPU : deviceOf(gradient), key -> newConstants(gradient));
  }

  private Constants newConstants(Tensor like) {
    try (PointerScope scope = new PointerScope()) {
      Tensor empty = like.new_empty(EMPTY).set_requires_grad(true);
      Tensor refusal = like.new_zeros(SCALAR).set_requires_grad(true).neg();
      Refusing refusing = Scopes.own(new Refusing());
      refusal.grad_fn().add_pre_hook(refusing);
      return new Constants(Scopes.own(empty), Scopes.own(refusal), refusing);
    }
  }

  private static int deviceOf(Tensor tensor) {
    try (Device device = tensor.device()) {
      return device.type().value << Byte.SIZE | Byte.toUnsignedInt(device.index());
    }
  }

  /**
   * What is the same for all gradients on a device.
   *
   * @param empty broadcasts with a gradient to nothing
   * @param refusal a scalar that must not be differentiated
   * @param refusing the hook that sees to it; libtorch holds it weakly, like all hooks of Java
   */
  private record Constants(Tensor empty, Tensor refusal, Refusing refusing) {}

  /** The multiplication by a number of Java, in one pass: for narrow dtypes on the CPU. */
  private final class Scaling extends CustomFunction {
    private final Tensor value;
    private final Tensor gradient;

    Scaling(Tensor value, Tensor gradient) {
      this.value = value;
      this.gradient = gradient;
    }

    @Override
    protected String name() {
      return name;
    }

    @Override
    protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
      context.save(gradient);
      return List.of(value);
    }

    @Override
    protected List<Tensor> backward(FunctionContext context, List<Tensor> gradients) {
      double factor = gradients.get(0).item_double();
      Tensor saved = context.saved(0);
      return List.of(factor == 1 ? saved : saved.mul(new Scalar(factor)));
    }
  }

  private final class Refusing extends FunctionPreHook {
    @Override
    public TensorVector apply(TensorVector gradients) {
      throw new UnsupportedOperationException(
          name + ": its backward is not differentiable (create_graph = true)");
    }
  }
}
