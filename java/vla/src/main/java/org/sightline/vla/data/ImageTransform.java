package org.sightline.vla.data;

/**
 * From an encoded camera image to the six input channels of a DINOv2 + SigLIP vision backbone:
 * decode, {@link Lanczos3} to the model's size, divide by 255, then normalise twice — channels 0–2
 * with the ImageNet constants as DINOv2 wants them, channels 3–5 to [-1,1] for SigLIP. The ImageNet
 * constants are rounded to bf16, as in the processor configuration of OpenVLA's checkpoint.
 *
 * @param size height and width in pixels, e.g. 224
 */
public record ImageTransform(int size) {
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

  /** Checks the size. */
  public ImageTransform {
    if (size < 1) {
      throw new IllegalArgumentException("size: found " + size + ", expected at least 1 pixel");
    }
  }

  /** Number of floats of one image: 6·size·size. */
  public int length() {
    return CHANNELS * size * size;
  }

  /**
   * Resizes and normalises.
   *
   * @param target receives [6,size,size] floats
   * @param offset where in {@code target} they start
   */
  public void apply(RgbImage image, float[] target, int offset) {
    RgbImage resized = Lanczos3.resize(image, size, size);
    byte[] pixels = resized.pixels();
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
