package org.sightline;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.autograd.PrecomputedGradient;
import org.sightline.binding.Scopes;

/**
 * One call of the alignment loss in libtorch's graph. The kernel computes loss and gradients
 * together, so the backward pass only scales them.
 *
 * @param parameters of the projector where it is trainable, else none
 */
record AlignmentFunction(
    NativeAlignment kernel,
    List<Tensor> parameters,
    long firstToken,
    Tensor teacher,
    Tensor tokenWeight,
    boolean training,
    long dropoutSeed) {
  private static final PrecomputedGradient GRADIENT = new PrecomputedGradient("AlignmentLoss");

  AlignmentLoss.Result apply(Tensor hidden) {
    boolean recording = GradMode.is_enabled();
    boolean wanted = recording && hidden.requires_grad();
    boolean weightsWanted = recording && anyRequiresGradient();
    List<Tensor> results =
        Scopes.scopedAll(
            () -> {
              Tensor h = Tensors.withContiguousRows(hidden);
              Tensor t = Tensors.withContiguousRows(teacher);
              Tensor loss = Tensors.empty(h, ScalarType.Float);
              Tensor cosine = Tensors.empty(h, ScalarType.Float, t.size(0), t.size(1));
              Tensor gradHidden = wanted ? gradientOf(h, t.size(1)) : null;
              List<Tensor> gradWeights = weightsWanted ? likeParameters() : null;
              kernel.loss(
                  h,
                  firstToken,
                  t,
                  tokenWeight,
                  loss,
                  cosine,
                  gradHidden,
                  gradWeights,
                  training,
                  dropoutSeed);
              return List.of(inGraph(loss, hidden, gradHidden, gradWeights), cosine);
            });
    return new AlignmentLoss.Result(results.get(0), results.get(1));
  }

  private boolean anyRequiresGradient() {
    for (Tensor parameter : parameters) {
      if (parameter.requires_grad()) {
        return true;
      }
    }
    return false;
  }

  private Tensor inGraph(Tensor loss, Tensor hidden, Tensor gradHidden, List<Tensor> gradWeights) {
    if (gradWeights == null) {
      return gradHidden == null
          ? loss
          : GRADIENT.attach(loss, List.of(hidden), List.of(gradHidden));
    }
    List<Tensor> inputs = new ArrayList<>(parameters);
    List<Tensor> gradients = new ArrayList<>();
    for (int i = 0; i < inputs.size(); i++) {
      gradients.add(inputs.get(i).requires_grad() ? gradWeights.get(i) : null);
    }
    inputs.add(hidden);
    gradients.add(gradHidden);
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
