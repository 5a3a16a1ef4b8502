package org.sightline.vla.model;

import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.binding.Scopes;

/** A whole frozen vision transformer on its own: all its blocks, never a graph. */
public final class VisionEncoder implements AutoCloseable {
  private final Modules modules;
  private final VisionTransformer transformer;

  /**
   * @param weights parameters by their names inside the transformer ({@code blocks.0.norm1.weight})
   * @param finalNorm whether the output goes through the LayerNorm {@code norm}
   */
  public VisionEncoder(
      VisionConfig config, Weights weights, boolean finalNorm, Device device, DType dtype) {
    modules = new Modules(weights, device, dtype, LoraPlan.none(), 0);
    try (PointerScope scope = new PointerScope()) {
      transformer = new VisionTransformer(modules, "", config, config.depth(), finalNorm);
    } catch (RuntimeException e) {
      modules.close();
      throw e;
    }
  }

  /** Names and shapes of the parameters such an encoder reads, in state-dict order. */
  public static List<ParameterSpec> parameters(VisionConfig config, boolean finalNorm) {
    return ModelSpec.ofVision(config, finalNorm);
  }

  /**
   * Patch features [B,N,D] of normalised images [B,3,H,W], in the encoder's dtype.
   *
   * @throws IllegalArgumentException if H or W is not a multiple of the patch size, or another than
   *     the configuration's where positions are not resampled
   */
  public Tensor forward(Tensor images) {
    return Scopes.withoutGradient(() -> transformer.apply(images));
  }

  @Override
  public void close() {
    modules.close();
  }
}
