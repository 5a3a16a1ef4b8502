package org.sightline.vla.model;

import static org.bytedeco.pytorch.global.torch.cat;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;

/**
 * The fused vision encoder: DINOv2 reads pixel channels 0–2, SigLIP reads 3–5, and the patch
 * features of their second-to-last blocks are joined along the channels, DINOv2 first.
 */
final class VisionBackbone implements Module {
  private final VisionTransformer dino;
  private final VisionTransformer sigLip;

  VisionBackbone(Modules modules, OpenVlaConfig config) {
    VisionConfig d = config.dino();
    VisionConfig s = config.sigLip();
    dino = new VisionTransformer(modules, ModelSpec.DINO + ".", d, d.depth() - 1, false);
    sigLip = new VisionTransformer(modules, ModelSpec.SIGLIP + ".", s, s.depth() - 1, false);
  }

  /** Features [B,N,D_dino+D_sigLip] of pixels [B,6,H,W]. */
  @Override
  public Tensor forward(Tensor pixels) {
    Tensor d = dino.apply(pixels.narrow(1, 0, 3));
    Tensor s = sigLip.apply(pixels.narrow(1, 3, 3));
    return cat(new TensorVector(d, s), 2);
  }
}
