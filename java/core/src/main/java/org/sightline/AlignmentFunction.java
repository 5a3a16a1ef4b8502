package org.sightline;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.autograd.KnownGradient;

/**
 * One call of the alignment loss in libtorch's graph. The kernel computes loss and gradients
 * together, so the backward pass only scales them.
 *
 * @param parameters of the projector where it is trainable, else none
 */
record AlignmentFunction(
    AlignmentKernel kernel,
    List<Tensor> parameters,
    long firstToken,
    Tensor teacher,
    Tensor tokenWeights,
    boolean training,
    long dropoutSeed) {
  private static final KnownGradient GRADIENT = new KnownGradient("AlignmentLoss");

  AlignmentLoss.Result apply(Tensor hiddenStates) {
    boolean recording = GradMode.is_enabled();
    boolean wanted = recording && hiddenStates.requires_grad();
    boolean weightsWanted = recording && anyRequiresGradient();
    Tensor loss = null;
    Tensor cosine = null;
    try (PointerScope scope = new PointerScope()) {
      Tensor hidden = Tensors.withContiguousRows(hiddenStates);
      Tensor t = Tensors.withContiguousRows(teacher);
      loss = Tensors.own(Tensors.empty(hidden, ScalarType.Float));
      cosine = Tensors.own(Tensors.empty(hidden, ScalarType.Float, t.size(0), t.size(1)));
      Tensor gradient = wanted ? gradientOf(hidden, t.size(1)) : null;
      List<Tensor> weightGradients = weightsWanted ? likeParameters() : null;
      kernel.loss(
          hidden,
          firstToken,
          t,
          tokenWeights,
          loss,
          cosine,
          gradient,
          weightGradients,
          training,
          dropoutSeed);
      Tensor result = inGraph(loss, hiddenStates, gradient, weightGradients);
      if (result != loss) {
        loss.close();
        loss = Tensors.own(result);
      }
    } catch (RuntimeException | Error e) {
      for (Tensor output : new Tensor[] {loss, cosine}) {
        if (output != null) {
          output.close();
        }
      }
      throw e;
    }
    return new AlignmentLoss.Result(Tensors.release(loss), Tensors.release(cosine));
  }

  private boolean anyRequiresGradient() {
    for (Tensor parameter : parameters) {
      if (parameter.requires_grad()) {
        return true;
      }
    }
    return false;
  }

  private Tensor inGraph(
      Tensor loss, Tensor hiddenStates, Tensor gradient, List<Tensor> weightGradients) {
    if (weightGradients == null) {
      return gradient == null
          ? loss
          : GRADIENT.attach(loss, List.of(hiddenStates), List.of(gradient));
    }
    List<Tensor> inputs = new ArrayList<>(parameters);
    List<Tensor> gradients = new ArrayList<>();
    for (int i = 0; i < inputs.size(); i++) {
      gradients.add(inputs.get(i).requires_grad() ? weightGradients.get(i) : null);
    }
    inputs.add(hiddenStates);
    gradients.add(gradient);
    return GRADIENT.attach(loss, inputs, gradients);
  }

  /** Zero at the tokens the kernel does not write. */
  private Tensor gradientOf(Tensor hidden, long tokens) {
    Tensor gradient = Tensors.empty(hidden, Tensors.dtype(hidden), Tensors.shape(hidden));
    long after = firstToken + tokens;
    if (firstToken > 0) {
      gradient.narrow(1, 0, firstToken).zero_();
    }
    if (after < hidden.size(1)) {
      gradient.narrow(1, after, hidden.size(1) - after).zero_();
    }
    return gradient;
  }

  /** The kernel gives all of them or none. */
  private List<Tensor> likeParameters() {
    List<Tensor> gradients = new ArrayList<>(parameters.size());
    for (Tensor w : parameters) {
      gradients.add(Tensors.empty(w, Tensors.dtype(w), Tensors.shape(w)));
    }
    return gradients;
  }
}
