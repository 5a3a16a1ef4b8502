package org.sightline.vla.teacher;

import io.soabase.recordbuilder.core.RecordBuilder;
import java.util.List;
import org.sightline.vla.model.PositionResampling;
import org.sightline.vla.model.VisionConfig;

/**
 * A teacher's shape and its way of seeing.
 *
 * @param vision shape of the transformer; all its blocks are run
 * @param finalNorm whether features are taken after the final LayerNorm (DINOv2, SigLIP) or before
 *     it (C-RADIO has none)
 * @param mean per RGB channel, of values in [0,1]: input = (value − mean) / std
 * @param std per RGB channel
 * @param weights where the weights come from, for reports: {@code "random, seed 7"} or a model's
 *     name
 */
@RecordBuilder
public record TeacherConfig(
    VisionConfig vision, boolean finalNorm, List<Double> mean, List<Double> std, String weights)
    implements TeacherConfigBuilder.With {

  public TeacherConfig {
    mean = List.copyOf(mean);
    std = List.copyOf(std);
    if (mean.size() != 3 || std.size() != 3) {
      throw new IllegalArgumentException(
          "mean and std must have 3 values, found %d and %d".formatted(mean.size(), std.size()));
    }
    for (double value : mean) {
      if (!Double.isFinite(value)) {
        throw new IllegalArgumentException("mean must be finite, found " + mean);
      }
    }
    for (double value : std) {
      if (!(value > 0) || Double.isInfinite(value)) {
        throw new IllegalArgumentException("std must be positive and finite, found " + std);
      }
    }
    if (weights == null || weights.isBlank()) {
      throw new IllegalArgumentException("weights must say where they come from, found nothing");
    }
  }

  /** What a policy's pixel channels 0–2 are normalised with: ImageNet's, rounded to bf16. */
  static final List<Double> POLICY_MEAN = List.of(0.484375, 0.455078125, 0.40625);

  static final List<Double> POLICY_STD = List.of(0.228515625, 0.2236328125, 0.224609375);

  /** A teacher that reads the policy's ImageNet-normalised pixels as they are. */
  static TeacherConfig ofPolicyPixels(VisionConfig vision, String weights) {
    return new TeacherConfig(vision, true, POLICY_MEAN, POLICY_STD, weights);
  }

  /** A teacher that reads pixels in [-1,1]. */
  static TeacherConfig ofSymmetricPixels(VisionConfig vision, String weights) {
    return new TeacherConfig(vision, true, List.of(0.5, 0.5, 0.5), List.of(0.5, 0.5, 0.5), weights);
  }

  /**
   * The same teacher, on images that give it {@code grid} patches along a side if its positions can
   * be resampled to them.
   */
  TeacherConfig forGrid(int grid) {
    return vision.resampling() == PositionResampling.NONE
        ? this
        : withVision(
            vision.withImageSize(
                (int) Math.min((long) grid * vision.patchSize(), Integer.MAX_VALUE)));
  }

  /**
   * A teacher for the {@code nano} model: Z = 128, four blocks, 96 pixels in patches of 16, which
   * is nano's grid of 6×6. Images enter in [-1,1].
   */
  public static TeacherConfig nano(String weights) {
    var vision =
        VisionConfig.vit(96, 16, 128, 4, 4, 512)
            .with()
            .classTokens(1)
            .classPosition(true)
            .layerScale(true)
            .build();
    return ofSymmetricPixels(vision, weights);
  }
}
