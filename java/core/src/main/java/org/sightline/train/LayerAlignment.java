package org.sightline.train;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.sightline.AlignmentLoss;
import org.sightline.AlignmentProjector;
import org.sightline.Device;
import org.sightline.ProjectorConfig;

/** The alignment losses of several layers, each with a projector of its own. */
final class LayerAlignment implements AutoCloseable {
  /**
   * @param loss the reduced loss, scalar, differentiable
   * @param cosine mean cosine by layer, scalars
   */
  record Terms(Tensor loss, Map<Integer, Tensor> cosine) {}

  private final LayerReduction reduction;
  private final TeacherNorm teacherNorm;
  private final Device device;
  private final Map<Integer, AlignmentProjector> projectors = new LinkedHashMap<>();
  private final Map<Integer, AlignmentLoss> losses = new LinkedHashMap<>();

  LayerAlignment(FineTuneConfig config, Device device) {
    this.reduction = config.reduction();
    this.teacherNorm = config.teacherNorm();
    this.device = device;
    ProjectorConfig shared = config.projector();
    for (int layer : config.alignedLayers()) {
      // Layers must not share their random projection, yet a layer keeps its own in any company.
      ProjectorConfig own = shared.withSeed(shared.seed() + layer);
      AlignmentProjector projector = new AlignmentProjector(own, device);
      projectors.put(layer, projector);
      losses.put(layer, new AlignmentLoss(projector));
    }
  }

  Map<Integer, AlignmentProjector> projectors() {
    return Collections.unmodifiableMap(projectors);
  }

  Set<Integer> layers() {
    return projectors.keySet();
  }

  /** The projectors' weights where they are trained, else nothing. */
  List<Tensor> trainedParameters() {
    List<Tensor> parameters = new ArrayList<>();
    for (AlignmentProjector projector : projectors.values()) {
      if (projector.config().trainable()) {
        parameters.addAll(projector.parameters().values());
      }
    }
    return parameters;
  }

  /** Switches the dropout of trainable projectors on (as it is at first) or off. */
  void train(boolean training) {
    losses.values().forEach(loss -> loss.train(training));
  }

  /** The losses as sources of random numbers, by layer. */
  Map<String, AlignmentLoss> dropouts() {
    Map<String, AlignmentLoss> sources = new LinkedHashMap<>();
    losses.forEach((layer, loss) -> sources.put("layer_" + layer, loss));
    return sources;
  }

  /**
   * @param features [B,N,Z]
   */
  Terms forward(PolicyOutput output, Tensor features) {
    if (features.dim() != 3 || features.size(1) != output.imageTokens()) {
      throw new IllegalStateException(
          ("teacher features must be [B,N,Z] with N = %s as the policy's image tokens, found"
                  + " %s dimensions%s")
              .formatted(
                  output.imageTokens(),
                  features.dim(),
                  features.dim() > 1 ? ", N = " + features.size(1) : ""));
    }
    Tensor targets = teacherNorm.apply(device.move(features));
    Tensor sum = null;
    Map<Integer, Tensor> cosine = new LinkedHashMap<>();
    for (Map.Entry<Integer, AlignmentLoss> entry : losses.entrySet()) {
      int layer = entry.getKey();
      Tensor hidden = output.hiddenStates().get(layer);
      if (hidden == null) {
        throw new IllegalStateException(
            "policy must return the hidden states of layer %s, found those of %s"
                .formatted(layer, output.hiddenStates().keySet()));
      }
      AlignmentLoss.Result result =
          entry.getValue().forward(hidden, output.firstImageToken(), targets);
      sum = sum == null ? result.loss() : sum.add(result.loss());
      cosine.put(layer, result.cosine().mean());
    }
    Tensor loss =
        reduction == LayerReduction.MEAN ? sum.div(new Scalar((double) losses.size())) : sum;
    return new Terms(loss, cosine);
  }

  @Override
  public void close() {
    losses.values().forEach(AlignmentLoss::close);
    projectors.values().forEach(AlignmentProjector::close);
  }
}
