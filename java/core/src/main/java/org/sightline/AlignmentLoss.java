package org.sightline;

import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;

/**
 * The visual alignment loss: −Σ m cos(projector(h), t) / Σ m over image tokens, with cos(z, t) =
 * z·t / (max(|z|, 1e-12) max(|t|, 1e-12)) (Kachaev et al., arXiv 2510.25616).
 *
 * <p>Loss and gradient come from one native call: {@link #forward} computes the gradient too when
 * one will be needed, {@code backward()} only multiplies it by what comes from above. The gradient
 * reaches the hidden states and, if the projector is trainable, its parameters; the teacher gets
 * none. An empty batch, or weights that sum to 0, give a loss and gradients of 0.
 *
 * <p>Thread-safe. A trainable projector's weights are prepared for the kernels at each call, a
 * frozen one's once, and again after an operation in place has changed them, which libtorch's
 * version counters tell.
 */
public final class AlignmentLoss extends DropoutModule {
  private final AlignmentProjector projector;
  private final List<Tensor> parameters;
  private final long[] versions;
  private final NativeAlignment kernel;

  /** Uses {@code projector}, which stays the caller's to close, and must outlive this object. */
  public AlignmentLoss(AlignmentProjector projector) {
    super("AlignmentLoss", Objects.requireNonNull(projector, "projector").config().seed());
    Sightline.load();
    this.projector = projector;
    projector.lifetime().enter();
    try {
      parameters = List.copyOf(projector.parameters().values());
      versions = parameters.stream().mapToLong(Tensor::_version).toArray();
      kernel = new NativeAlignment(projector.config(), parameters);
    } finally {
      projector.lifetime().leave();
    }
  }

  /**
   * What one call yields.
   *
   * @param loss scalar fp32, differentiable
   * @param cosine [B,N] fp32, detached: cos(projector(h), t) of every token
   */
  public record Result(Tensor loss, Tensor cosine) {}

  /** As the longer form, every token with weight 1. */
  public Result forward(Tensor hidden, long firstToken, Tensor teacher) {
    return forward(hidden, firstToken, teacher, null);
  }

  /**
   * Computes the loss of the tokens {@code firstToken … firstToken + N - 1}.
   *
   * @param hidden [B,S,D] fp32 or bf16; its gradient is zero at other tokens
   * @param firstToken position of the first image token
   * @param teacher [B,N,Z] fp32 or bf16, receives no gradient
   * @param tokenWeight [B,N] fp32 weights m ≥ 0, or null for 1
   * @throws IllegalArgumentException if a shape, dtype or position does not fit
   * @throws UnsupportedOperationException if no backend for the tensors' device is available
   * @throws IllegalStateException after {@link #close} of this object or of the projector
   */
  public Result forward(Tensor hidden, long firstToken, Tensor teacher, Tensor tokenWeight) {
    checkShapes(hidden, firstToken, teacher, tokenWeight);
    List<Tensor> trainable = projector.config().trainable() ? parameters : List.of();
    AlignmentFunction function =
        new AlignmentFunction(
            kernel, trainable, firstToken, teacher, tokenWeight, isTraining(), nextDropoutSeed());
    enter();
    try {
      return function.apply(hidden);
    } finally {
      leave();
    }
  }

  /**
   * Loss and gradient in one call outside libtorch's graph, into tensors of the caller, for
   * trainers that walk back themselves ({@code hidden.backward(gradHidden, …)}) or care for the
   * last microseconds: nothing is allocated on the device and no graph is made. Dropout of a
   * trainable projector is applied as in {@link #forward}; its parameters get no gradient.
   *
   * @param hidden as in {@link #forward}, elements of the last dimension side by side
   * @param teacher likewise
   * @param tokenWeight as in {@link #forward}, or null
   * @param loss scalar fp32, written
   * @param cosine [B,N] fp32, written; may be null
   * @param gradHidden [B,S,D] fp32 or bf16: ∂loss/∂hidden is written at the tokens {@code
   *     firstToken … firstToken + N - 1}, the others are left alone
   * @throws IllegalArgumentException if a shape, dtype, stride or position does not fit, or a
   *     tensor is a negated view; nothing is written then
   * @throws UnsupportedOperationException if no backend for the tensors' device is available
   * @throws IllegalStateException after {@link #close} of this object or of the projector
   */
  public void lossAndGradient(
      Tensor hidden,
      long firstToken,
      Tensor teacher,
      Tensor tokenWeight,
      Tensor loss,
      Tensor cosine,
      Tensor gradHidden) {
    checkShapes(hidden, firstToken, teacher, tokenWeight);
    Objects.requireNonNull(loss, "loss");
    Objects.requireNonNull(gradHidden, "gradHidden");
    Checks.stored("hidden", hidden);
    Checks.stored("teacher", teacher);
    Checks.writable("loss", loss);
    Checks.writable("gradHidden", gradHidden);
    if (loss.dim() != 0) {
      Checks.shape("loss", loss);
    }
    Checks.sameShape(hidden, "gradHidden", gradHidden);
    long batch = hidden.size(0);
    long tokens = teacher.size(1);
    if (cosine != null) {
      Checks.writable("cosine", cosine);
      requireTokens("cosine", cosine, batch, tokens);
    }
    enter();
    try {
      kernel.loss(
          hidden,
          firstToken,
          teacher,
          tokenWeight,
          loss,
          cosine,
          gradHidden,
          null,
          isTraining(),
          nextDropoutSeed());
    } finally {
      leave();
    }
    Tensors.bumpVersion(loss);
    Tensors.bumpVersion(gradHidden);
    if (cosine != null) {
      Tensors.bumpVersion(cosine);
    }
  }

  /** Begins a use of both objects, with weights that are prepared. */
  private void enter() {
    projector.lifetime().enter();
    try {
      refresh();
      lifetime.enter();
    } catch (RuntimeException | Error e) {
      projector.lifetime().leave();
      throw e;
    }
  }

  private void leave() {
    lifetime.leave();
    projector.lifetime().leave();
  }

  /**
   * Prepares the weights again if they have changed. Version counters do not tell that of trainable
   * ones: libtorch's SGD writes through {@code data()}, which has a counter of its own.
   */
  private void refresh() {
    lifetime.check();
    boolean always = projector.config().trainable();
    if (always || hasChanged()) {
      lifetime.useAlone(
          () -> {
            if (always || hasChanged()) {
              // Counters first: a change made meanwhile is then seen next time.
              for (int i = 0; i < versions.length; i++) {
                versions[i] = parameters.get(i)._version();
              }
              kernel.update(parameters);
            }
          });
    }
  }

  private boolean hasChanged() {
    for (int i = 0; i < versions.length; i++) {
      if (parameters.get(i)._version() != versions[i]) {
        return true;
      }
    }
    return false;
  }

  private void checkShapes(Tensor hidden, long firstToken, Tensor teacher, Tensor weights) {
    Objects.requireNonNull(hidden, "hidden");
    Objects.requireNonNull(teacher, "teacher");
    Checks.dims("hidden", hidden, 3, "[B,S,D]");
    Checks.dims("teacher", teacher, 3, "[B,N,Z]");
    Checks.strided("hidden", hidden);
    Checks.strided("teacher", teacher);
    long batch = hidden.size(0);
    long tokens = teacher.size(1);
    requireSize("hidden", hidden, 2, projector.config().hiddenSize(), "hiddenSize");
    requireSize("teacher", teacher, 2, projector.config().teacherSize(), "teacherSize");
    requireSize("teacher", teacher, 0, batch, "batch of hidden");
    if (firstToken < 0 || firstToken > hidden.size(1) - tokens) { // their sum may overflow
      throw new IllegalArgumentException(
          "tokens %s to %s must lie within hidden, found %s tokens"
              .formatted(firstToken, firstToken + tokens - 1, hidden.size(1)));
    }
    if (weights != null) {
      requireTokens("tokenWeight", weights, batch, tokens);
      Checks.stored("tokenWeight", weights);
    }
  }

  private static void requireTokens(String name, Tensor t, long batch, long tokens) {
    // Asked first, as the list of what is expected is garbage.
    if (t.dim() != 2 || t.size(0) != batch || t.size(1) != tokens) {
      Checks.shape(name, t, batch, tokens);
    }
  }

  private static void requireSize(String name, Tensor t, int dim, long expected, String what) {
    if (t.size(dim) != expected) {
      throw new IllegalArgumentException(
          "%s must have size %s (%s) in dimension %s, found shape %s"
              .formatted(name, expected, what, dim, Arrays.toString(Tensors.shape(t))));
    }
  }

  @Override
  public void close() {
    lifetime.close(kernel::close);
  }
}
