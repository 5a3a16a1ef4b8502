package org.sightline;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.autograd.CustomFunction;
import org.sightline.autograd.FunctionContext;

/**
 * One call of the alignment loss as a differentiable operation. Inputs: hidden states, then the
 * projector's parameters if it is trainable; output: the loss. The kernel computes loss and
 * gradients together, so the backward pass only scales them.
 */
final class AlignmentFunction extends CustomFunction {
  private final AlignmentKernel kernel;
  private final long firstToken;
  private final Tensor teacher;
  private final Tensor tokenWeights;
  private final boolean training;
  private final long dropoutSeed;
  private Tensor cosine;

  AlignmentFunction(
      AlignmentKernel kernel,
      long firstToken,
      Tensor teacher,
      Tensor tokenWeights,
      boolean training,
      long dropoutSeed) {
    this.kernel = kernel;
    this.firstToken = firstToken;
    this.teacher = teacher;
    this.tokenWeights = tokenWeights;
    this.training = training;
    this.dropoutSeed = dropoutSeed;
  }

  @Override
  protected String name() {
    return "AlignmentLoss";
  }

  /** The per-token cosine [B,N] of the forward call, owned by the caller. */
  Tensor takeCosine() {
    return cosine;
  }

  @Override
  protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
    Tensor hidden = Tensors.withContiguousRows(inputs.get(0));
    Tensor t = Tensors.withContiguousRows(teacher);
    Tensor loss = Tensors.empty(hidden, ScalarType.Float);
    cosine = Tensors.own(Tensors.empty(hidden, ScalarType.Float, t.size(0), t.size(1)));
    Tensor hiddenGradient = context.needsGradient(0) ? gradientOf(hidden, t.size(1)) : null;
    List<Tensor> weightGradients = weightGradients(context, inputs);
    try {
      kernel.loss(
          new AlignmentKernel.Call(
              hidden,
              firstToken,
              t,
              tokenWeights,
              loss,
              cosine,
              hiddenGradient,
              weightGradients,
              training,
              dropoutSeed));
    } catch (RuntimeException | Error e) {
      cosine.close();
      throw e;
    }
    if (hiddenGradient != null) {
      context.save(hiddenGradient);
    }
    if (weightGradients != null) {
      weightGradients.forEach(context::save);
    }
    return List.of(loss);
  }

  @Override
  protected List<Tensor> backward(FunctionContext context, List<Tensor> upstream) {
    double scale = upstream.get(0).item_double();
    List<Tensor> results = new ArrayList<>(context.inputCount());
    int next = 0;
    results.add(context.needsGradient(0) ? scaled(context.saved(next++), scale) : null);
    for (int i = 1; i < context.inputCount(); i++, next++) {
      results.add(context.needsGradient(i) ? scaled(context.saved(next), scale) : null);
    }
    return results;
  }

  /** Zero at the tokens the kernel does not write. */
  private Tensor gradientOf(Tensor hidden, long tokens) {
    Tensor gradient = Tensors.empty(hidden, Tensors.dtype(hidden), Tensors.shape(hidden));
    long after = firstToken + tokens;
    gradient.narrow(1, 0, firstToken).zero_();
    gradient.narrow(1, after, hidden.size(1) - after).zero_();
    return gradient;
  }

  /** The kernel gives all of them or none. */
  private static List<Tensor> weightGradients(FunctionContext context, List<Tensor> inputs) {
    boolean any = false;
    for (int i = 1; i < inputs.size(); i++) {
      any |= context.needsGradient(i);
    }
    if (!any) {
      return null;
    }
    return inputs.subList(1, inputs.size()).stream()
        .map(w -> Tensors.empty(w, Tensors.dtype(w), Tensors.shape(w)))
        .toList();
  }

  private static Tensor scaled(Tensor gradient, double scale) {
    return scale == 1 ? gradient : gradient.mul(Tensors.scalar(scale));
  }
}
