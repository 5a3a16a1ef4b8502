package org.sightline.vla.data.image;

import java.util.List;
import java.util.stream.IntStream;

/**
 * From a camera image to the six input channels of a DINOv2 + SigLIP vision backbone: {@link
 * Lanczos3} to the model's size, {@link Augmentation} if there is one, divide by 255, then
 * normalise twice — channels 0–2 with the ImageNet constants as DINOv2 wants them, channels 3–5 to
 * [-1,1] for SigLIP. The ImageNet constants are rounded to bf16, as in the processor configuration
 * of OpenVLA's checkpoint.
 *
 * @param size height and width in pixels, e.g. 224
 * @param augmentation what training images go through; evaluation images get its centre crop, so
 *     that both show objects at the same size. Null: both see the whole image.
 */
public record ImageTransform(int size, Augmentation augmentation) {
  /** Channels of the result. */
  public static final int CHANNELS = 6;

  private static final float[] MEAN = {0.484375f, 0.455078125f, 0.40625f, 0.5f, 0.5f, 0.5f};
  private static final float[] STD = {0.228515625f, 0.2236328125f, 0.224609375f, 0.5f, 0.5f, 0.5f};

  /** The normalised value of every byte, by channel. */
  private static final float[][] TABLE = new float[CHANNELS][256];

  static {
    for (int channel = 0; channel < CHANNELS; channel++) {
      for (int value = 0; value < 256; value++) {
        TABLE[channel][value] = (value / 255f - MEAN[channel]) / STD[channel];
      }
    }
  }

  public ImageTransform {
    if (size < 1) {
      throw new IllegalArgumentException("size: found " + size + ", expected at least 1 pixel");
    }
  }

  /** What is subtracted from channels {@code from} to {@code to - 1} of values in [0,1]. */
  public static List<Double> mean(int from, int to) {
    return IntStream.range(from, to).mapToObj(channel -> (double) MEAN[channel]).toList();
  }

  /** What channels {@code from} to {@code to - 1} are divided by after that. */
  public static List<Double> std(int from, int to) {
    return IntStream.range(from, to).mapToObj(channel -> (double) STD[channel]).toList();
  }

  /**
   * All that determines the pixels of an image besides the image, for keys of caches.
   *
   * @param seed of the augmentation
   */
  public String describe(long seed) {
    return "lanczos3 to "
        + size
        + ", "
        + (augmentation == null ? "whole" : augmentation + " seed " + seed);
  }

  /** Number of floats of one image: 6·size·size. */
  public int length() {
    return CHANNELS * size * size;
  }

  /** A transform without augmentation. */
  public ImageTransform(int size) {
    this(size, null);
  }

  /**
   * Resizes, crops as for evaluation, and normalises.
   *
   * @param target receives [6,size,size] floats
   * @param offset where in {@code target} they start
   */
  public void apply(RgbImage image, float[] target, int offset) {
    RgbImage resized = Lanczos3.resize(image, size, size);
    normalize(augmentation == null ? resized : augmentation.centre(resized), target, offset);
  }

  /** As {@link #apply}, augmented as for training by the random numbers of a key. */
  public void applyAugmented(RgbImage image, long key, float[] target, int offset) {
    RgbImage resized = Lanczos3.resize(image, size, size);
    normalize(augmentation == null ? resized : augmentation.apply(resized, key), target, offset);
  }

  private void normalize(RgbImage image, float[] target, int offset) {
    byte[] pixels = image.pixels();
    int plane = size * size;
    for (int channel = 0; channel < CHANNELS; channel++) {
      float[] table = TABLE[channel];
      int start = offset + channel * plane;
      int colour = channel % 3;
      for (int i = 0; i < plane; i++) {
        target[start + i] = table[pixels[3 * i + colour] & 0xff];
      }
    }
  }
}
