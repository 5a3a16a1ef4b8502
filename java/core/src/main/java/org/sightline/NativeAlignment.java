package org.sightline;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.sightline.binding.Scopes;
import org.sightline.binding.sightline;
import org.sightline.binding.sl_alignment;
import org.sightline.binding.sl_alignment_args;
import org.sightline.binding.sl_alignment_config;
import org.sightline.binding.sl_projector;

/** A native {@code sl_alignment}: the weights of a projector, prepared for the kernels. */
final class NativeAlignment implements AutoCloseable {
  /** Parameter names, in the order of {@code sl_projector} too. */
  static final List<String> PARAMETERS =
      List.copyOf(AlignmentProjector.shapes(ProjectorConfig.of(1, 1, 1)).keySet());

  private static final ThreadLocal<Frame> FRAMES = ThreadLocal.withInitial(Frame::new);

  private final sl_alignment handle; // empty for parameters without memory

  NativeAlignment(ProjectorConfig config, List<Tensor> parameters) {
    handle = Scopes.own(new sl_alignment());
    if (Tensors.areMeta(parameters.toArray(Tensor[]::new))) {
      return;
    }
    try (sl_alignment_config options = new sl_alignment_config();
        ProjectorDescriptor weights = new ProjectorDescriptor()) {
      options.compute().lanes((short) 1);
      switch (config.compute()) {
        case FLOAT32 -> options.compute().code((byte) sightline.SL_FLOAT).bits((byte) 32);
        case BFLOAT16 -> options.compute().code((byte) sightline.SL_BFLOAT).bits((byte) 16);
      }
      options
          .trainable(config.trainable() ? 1 : 0)
          .ln_eps(AlignmentProjector.LAYER_NORM_EPSILON)
          .dropout(config.dropout());
      NativeCalls.check(sightline.sl_alignment_create(weights.of("", parameters), options, handle));
    }
  }

  /** Reads the parameters again. */
  void update(List<Tensor> parameters) {
    if (handle.isNull()) {
      return;
    }
    try (ProjectorDescriptor weights = new ProjectorDescriptor()) {
      NativeCalls.check(
          sightline.sl_alignment_update(
              handle, CallContext.of(parameters.get(0)), weights.of("", parameters)));
    }
  }

  /**
   * One call, without garbage.
   *
   * @param hidden [B,S,D], of which tokens firstToken … firstToken + N - 1 are used
   * @param tokenWeight [B,N] fp32, or null
   * @param loss fp32 scalar, written
   * @param cosine [B,N] fp32, written, or null
   * @param gradHidden [B,S,D], written at those tokens, or null
   * @param gradWeights one per parameter, written, or null
   */
  void loss(
      Tensor hidden,
      long firstToken,
      Tensor teacher,
      Tensor tokenWeight,
      Tensor loss,
      Tensor cosine,
      Tensor gradHidden,
      List<Tensor> gradWeights,
      boolean training,
      long dropoutSeed) {
    if (handle.isNull() && Tensors.areMeta(hidden, teacher, tokenWeight)) {
      return;
    }
    Frame frame = FRAMES.get();
    long tokens = teacher.size(1);
    frame
        .args
        .hidden(frame.hidden.ofNarrowed("hidden", hidden, firstToken, tokens))
        .teacher(frame.teacher.of("teacher", teacher))
        .token_weight(tokenWeight == null ? null : frame.tokenWeight.of("tokenWeight", tokenWeight))
        .grad_scale(null)
        .loss(frame.loss.of("loss", loss))
        .cosine(cosine == null ? null : frame.cosine.of("cosine", cosine))
        .grad_hidden(
            gradHidden == null
                ? null
                : frame.gradient.ofNarrowed("gradient of hidden", gradHidden, firstToken, tokens))
        .grad_weights(
            gradWeights == null ? null : frame.gradWeights.of("gradient of ", gradWeights))
        .accumulate_hidden(0)
        .accumulate_weights(0)
        .training(training ? 1 : 0)
        .dropout_seed(dropoutSeed);
    NativeCalls.check(sightline.sl_alignment_loss(handle, CallContext.of(hidden), frame.args));
  }

  @Override
  public void close() {
    sightline.sl_alignment_destroy(handle);
    handle.close();
  }

  /** An {@code sl_projector} and its eight tensors. */
  private static final class ProjectorDescriptor implements AutoCloseable {
    private final sl_projector projector = Scopes.own(new sl_projector());
    private final List<TensorDescriptor> tensors =
        PARAMETERS.stream().map(name -> new TensorDescriptor()).toList();

    sl_projector of(String prefix, List<Tensor> values) {
      for (int i = 0; i < values.size(); i++) {
        tensors.get(i).of(prefix + PARAMETERS.get(i), values.get(i));
      }
      return projector
          .ln_weight(tensors.get(0).tensor())
          .ln_bias(tensors.get(1).tensor())
          .w1(tensors.get(2).tensor())
          .b1(tensors.get(3).tensor())
          .w2(tensors.get(4).tensor())
          .b2(tensors.get(5).tensor())
          .w3(tensors.get(6).tensor())
          .b3(tensors.get(7).tensor());
    }

    @Override
    public void close() {
      projector.close();
      tensors.forEach(TensorDescriptor::close);
    }
  }

  /** Descriptors a thread uses again from call to call. */
  private static final class Frame {
    final sl_alignment_args args = Scopes.own(new sl_alignment_args());
    final TensorDescriptor hidden = new TensorDescriptor();
    final TensorDescriptor teacher = new TensorDescriptor();
    final TensorDescriptor tokenWeight = new TensorDescriptor();
    final TensorDescriptor loss = new TensorDescriptor();
    final TensorDescriptor cosine = new TensorDescriptor();
    final TensorDescriptor gradient = new TensorDescriptor();
    final ProjectorDescriptor gradWeights = new ProjectorDescriptor();
  }
}
