package org.sightline.vla.model;

import io.soabase.recordbuilder.core.RecordBuilder;
import java.util.Objects;
import org.sightline.Checks;

/**
 * Shape of one vision transformer (pre-norm, fused qkv with bias).
 *
 * @param imageSize side of the square image it is used on, pixels
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
 * @param mlp feed-forward half of the blocks
 * @param patchBias whether the patch embedding has a bias
 * @param positionGrid patches along one side of the images the position embedding was made for
 * @param resampling how it is carried over to {@code imageSize} and other sizes
 */
@RecordBuilder
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
    double layerNormEps,
    MlpKind mlp,
    boolean patchBias,
    int positionGrid,
    PositionResampling resampling)
    implements VisionConfigBuilder.With {

  /** So that counts of patches, and of numbers in one, are counts of an int. */
  private static final int MAX_SIDE = 1 << 14;

  public VisionConfig {
    Checks.divides("patchSize", patchSize, "imageSize", imageSize);
    Checks.atMost("imageSize", imageSize, MAX_SIDE);
    Checks.divides("heads", heads, "width", width);
    Checks.atLeast("depth", depth, 1);
    Checks.atLeast("mlpWidth", mlpWidth, 1);
    if (classTokens < 0 || classTokens > 1) {
      throw new IllegalArgumentException("classTokens must be 0 or 1, found " + classTokens);
    }
    Checks.atLeast("registerTokens", registerTokens, 0);
    if (classPosition && classTokens == 0) {
      throw new IllegalArgumentException("classPosition needs classTokens 1, found 0");
    }
    Checks.positive("layerNormEps", layerNormEps);
    Objects.requireNonNull(mlp, "mlp");
    Objects.requireNonNull(resampling, "resampling");
    Checks.atLeast("positionGrid", positionGrid, 1);
    Checks.atMost("positionGrid", positionGrid, MAX_SIDE);
    if (resampling == PositionResampling.NONE && positionGrid != imageSize / patchSize) {
      throw new IllegalArgumentException(
          "positionGrid must be imageSize/patchSize, %d, where positions are not resampled, found %d"
              .formatted(imageSize / patchSize, positionGrid));
    }
  }

  /**
   * The plain shape, of which the others are variants ({@link #with()}): patches alone, without
   * LayerScale or pooling, ε 1e-6, erf-GELU MLPs, a bias in the patch embedding, positions stored
   * for the image size.
   */
  public static VisionConfig vit(
      int imageSize, int patchSize, int width, int depth, int heads, int mlpWidth) {
    int grid = patchSize > 0 ? imageSize / patchSize : 1; // else the check of patchSize tells
    return VisionConfigBuilder.builder()
        .imageSize(imageSize)
        .patchSize(patchSize)
        .width(width)
        .depth(depth)
        .heads(heads)
        .mlpWidth(mlpWidth)
        .layerNormEps(1e-6)
        .mlp(MlpKind.GELU)
        .patchBias(true)
        .positionGrid(grid)
        .resampling(PositionResampling.NONE)
        .build();
  }

  /** DINOv2 ViT-L/14 with four registers at 224 pixels: {@code vision_backbone.featurizer}. */
  public static VisionConfig dinoV2Large() {
    return VisionConfig.vit(224, 14, 1024, 24, 16, 4096)
        .with()
        .classTokens(1)
        .registerTokens(4)
        .layerScale(true)
        .build();
  }

  /** SigLIP SO400M/14 at 224 pixels: {@code vision_backbone.fused_featurizer}. */
  public static VisionConfig sigLipSo400m() {
    return VisionConfig.vit(224, 14, 1152, 27, 16, 4304).withAttentionPool(true);
  }

  /** The same transformer with positions made for a grid of its own, and resampled from it. */
  public VisionConfig withPositions(int grid, PositionResampling how) {
    return with().positionGrid(grid).resampling(how).build();
  }

  /** Patches along one side of an image of {@code imageSize}. */
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

  /** Rows of the stored position embedding. */
  public int positions() {
    return positionGrid * positionGrid + (classPosition ? 1 : 0);
  }

  /** Numbers in one RGB patch, the input width of the patch embedding. */
  public int patchElements() {
    return 3 * patchSize * patchSize;
  }
}
