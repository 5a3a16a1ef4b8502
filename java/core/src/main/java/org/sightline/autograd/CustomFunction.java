package org.sightline.autograd;

import java.util.List;
import org.bytedeco.pytorch.Tensor;

/**
 * A differentiable operation with a hand-written backward pass: what {@code
 * torch.autograd.Function} is in Python.
 *
 * <pre>{@code
 * final class Exp extends CustomFunction {
 *   protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
 *     Tensor y = inputs.get(0).exp();
 *     context.save(y);
 *     return List.of(y);
 *   }
 *
 *   protected List<Tensor> backward(FunctionContext context, List<Tensor> gradients) {
 *     return List.of(gradients.get(0).mul(context.saved(0)));
 *   }
 * }
 *
 * Tensor y = new Exp().apply(x).get(0);
 * }</pre>
 *
 * <p>The result takes part in libtorch's graph like that of any built-in operation: inputs may be
 * leaves or not, outputs may be used several times, functions nest, a graph kept with {@code
 * retain_graph} may be walked twice. Gradients are first order only; {@code create_graph} is
 * refused with a message. An exception thrown by {@link #backward} ends the walk and reaches the
 * caller of {@code backward()} as a {@link RuntimeException} with the same message.
 *
 * <p>Instances hold no state of a call and may be shared between threads if their fields are.
 */
public abstract class CustomFunction {
  /**
   * Computes the outputs. Runs without gradient recording, on inputs detached from the graph.
   *
   * @param context where to leave what {@link #backward} will need
   * @param inputs the tensors given to {@link #apply}, in that order
   * @return the outputs, at least one; floating-point ones become differentiable
   */
  protected abstract List<Tensor> forward(FunctionContext context, List<Tensor> inputs);

  /**
   * Computes the gradients of the inputs. Runs without gradient recording, possibly on another
   * thread.
   *
   * @param context the context of the forward call
   * @param gradients one gradient per output of {@link #forward}, of that output's shape, dtype and
   *     device; zeros for an output that did not contribute, or null if {@link
   *     FunctionContext#materializeGradients} was switched off
   * @return one gradient per input, of that input's shape, dtype and device, or null where {@link
   *     FunctionContext#needsGradient} is false or the gradient is zero
   */
  protected abstract List<Tensor> backward(FunctionContext context, List<Tensor> gradients);

  /** The name used in error messages: the simple class name unless overridden. */
  protected String name() {
    String simple = getClass().getSimpleName();
    return simple.isEmpty() ? getClass().getName() : simple;
  }

  /**
   * Runs the function and, if gradients are being recorded and an input requires one, enters it
   * into the graph.
   *
   * @return the outputs of {@link #forward}; they belong to the innermost open {@code PointerScope}
   * @throws NullPointerException if an input, an output or the list of outputs is null
   * @throws IllegalStateException if {@link #forward} returns no output
   */
  public final List<Tensor> apply(Tensor... inputs) {
    return FunctionNode.run(this, inputs);
  }
}
