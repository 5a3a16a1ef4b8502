package org.sightline;

import java.util.List;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.sightline.binding.Scopes;
import org.sightline.binding.sightline;
import org.sightline.binding.sl_alignment;
import org.sightline.binding.sl_alignment_args;
import org.sightline.binding.sl_projector;
import org.sightline.binding.sl_projector_desc;
import org.sightline.binding.sl_projector_layer;

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
    try (sl_projector_desc desc = new sl_projector_desc();
        ProjectorDescriptor weights = new ProjectorDescriptor()) {
      desc.compute().lanes((short) 1);
      switch (config.compute()) {
        case FLOAT32 -> desc.compute().code((byte) sightline.SL_FLOAT).bits((byte) 32);
        case BFLOAT16 -> desc.compute().code((byte) sightline.SL_BFLOAT).bits((byte) 16);
      }
      desc.size(desc.sizeof())
          .layers(ProjectorDescriptor.LAYERS)
          .norm(sightline.SL_LAYER_NORM)
          .activation(sightline.SL_SILU)
          .norm_eps(AlignmentProjector.LAYER_NORM_EPSILON)
          .dropout(config.dropout())
          .trainable(config.trainable() ? 1 : 0);
      NativeCalls.check(sightline.sl_alignment_create(weights.of("", parameters), desc, handle));
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
    frame.handle = handle;
    CallContext.run(hidden, frame.call);
  }

  @Override
  public void close() {
    sightline.sl_alignment_destroy(handle);
    handle.close();
  }

  /** An {@code sl_projector} and its eight tensors. */
  private static final class ProjectorDescriptor implements AutoCloseable {
    static final int LAYERS = 3;

    private final sl_projector projector = Scopes.own(new sl_projector());
    private final List<sl_projector_layer> layers =
        IntStream.range(0, LAYERS).mapToObj(i -> Scopes.own(projector.layers(i))).toList();
    private final List<TensorDescriptor> tensors =
        PARAMETERS.stream().map(name -> new TensorDescriptor()).toList();

    sl_projector of(String prefix, List<Tensor> values) {
      for (int i = 0; i < values.size(); i++) {
        tensors.get(i).of(prefix + PARAMETERS.get(i), values.get(i));
      }
      projector.norm_weight(tensors.get(0).tensor()).norm_bias(tensors.get(1).tensor());
      for (int i = 0; i < LAYERS; i++) {
        layers.get(i).weight(tensors.get(2 + 2 * i).tensor()).bias(tensors.get(3 + 2 * i).tensor());
      }
      return projector;
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
    sl_alignment handle; // of the call under way
    final CallContext.Call call = context -> sightline.sl_alignment_loss(handle, context, args);
    final TensorDescriptor hidden = new TensorDescriptor();
    final TensorDescriptor teacher = new TensorDescriptor();
    final TensorDescriptor tokenWeight = new TensorDescriptor();
    final TensorDescriptor loss = new TensorDescriptor();
    final TensorDescriptor cosine = new TensorDescriptor();
    final TensorDescriptor gradient = new TensorDescriptor();
    final ProjectorDescriptor gradWeights = new ProjectorDescriptor();
  }
}
