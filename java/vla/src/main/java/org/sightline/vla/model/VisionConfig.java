package org.sightline.vla.model;

/**
 * Shape of one vision transformer (pre-norm, fused qkv with bias, erf-GELU MLP).
 *
 * @param imageSize side of the square input image, pixels
 * @param patchSize side of a patch, pixels; kernel and stride of the patch embedding
 * @param width channels of a token
 * @param depth blocks in the checkpoint, also those never run
 * @param heads attention heads; the head width is {@code width / heads}
 * @param mlpWidth hidden channels of the MLP
 * @param classTokens 1 with a class token before the patches, else 0
 * @param registerTokens register tokens between class token and patches
 * @param classPosition whether the position embedding has a row for the class token (DINOv2 hub) or
 *     rows for the patches alone (timm with registers, as OpenVLA has it)
 * @param layerScale whether each residual branch ends in a per-channel factor
 * @param attentionPool whether the checkpoint carries timm's attention pooling head, which OpenVLA
 *     never runs
 * @param layerNormEps ε of every LayerNorm
 */
public record VisionConfig(
    int imageSize,
    int patchSize,
    int width,
    int depth,
    int heads,
    int mlpWidth,
    int classTokens,
    int registerTokens,
    boolean classPosition,
    boolean layerScale,
    boolean attentionPool,
    double layerNormEps) {

  public VisionConfig {
    Checks.divides("patchSize", patchSize, "imageSize", imageSize);
    Checks.divides("heads", heads, "width", width);
    Checks.positive("depth", depth);
    Checks.positive("mlpWidth", mlpWidth);
    if (classTokens < 0 || classTokens > 1) {
      throw new IllegalArgumentException("classTokens must be 0 or 1, found " + classTokens);
    }
    Checks.notNegative("registerTokens", registerTokens);
    if (classPosition && classTokens == 0) {
      throw new IllegalArgumentException("classPosition needs classTokens 1, found 0");
    }
    Checks.positive("layerNormEps", layerNormEps);
  }

  /** DINOv2 ViT-L/14 with four registers at 224 pixels: {@code vision_backbone.featurizer}. */
  public static VisionConfig dinoV2Large() {
    return new VisionConfig(224, 14, 1024, 24, 16, 4096, 1, 4, false, true, false, 1e-6);
  }

  /** SigLIP SO400M/14 at 224 pixels: {@code vision_backbone.fused_featurizer}. */
  public static VisionConfig sigLipSo400m() {
    return new VisionConfig(224, 14, 1152, 27, 16, 4304, 0, 0, false, false, true, 1e-6);
  }

  /** Patches along one side. */
  public int grid() {
    return imageSize / patchSize;
  }

  /** Patches of an image. */
  public int patches() {
    return grid() * grid();
  }

  /** Tokens before the patches. */
  public int prefixTokens() {
    return classTokens + registerTokens;
  }

  /** Rows of the position embedding. */
  public int positions() {
    return patches() + (classPosition ? 1 : 0);
  }

  /** Numbers in one RGB patch, the input width of the patch embedding. */
  public int patchElements() {
    return 3 * patchSize * patchSize;
  }
}
