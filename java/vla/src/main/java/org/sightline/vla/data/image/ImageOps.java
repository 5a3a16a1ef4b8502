package org.sightline.vla.data.image;

/**
 * TensorFlow's image operations on interleaved fp32 RGB in [0,1]. Each clips its result to [0,1],
 * as dlimp does between operations.
 *
 * <p>Bytes become {@code b·(1/255)} and floats become {@code ⌊255.5·x⌋}, which is {@code
 * tf.image.convert_image_dtype} with {@code saturate=True}.
 */
final class ImageOps {
  private static final int CHANNELS = 3;
  private static final float SCALE = 1f / 255;

  private ImageOps() {}

  /**
   * {@code tf.image.crop_and_resize} (bilinear, corners aligned) of a square box back to the
   * image's own size: output pixel i of n samples the input at {@code start·(n−1) + i·side}, in
   * both directions. A position that rounding puts beyond the last pixel is the last pixel
   * (TensorFlow writes black there).
   *
   * @param top of the box, as a share of the height
   * @param left of the box, as a share of the width
   * @param side of the box, as a share of both
   */
  static float[] cropAndResize(RgbImage image, float top, float left, float side) {
    int width = image.width();
    int height = image.height();
    byte[] pixels = image.pixels();
    float[] result = new float[pixels.length];
    int[] leftPixel = new int[width];
    int[] rightPixel = new int[width];
    float[] across = new float[width];
    for (int x = 0; x < width; x++) {
      float at = position(left, side, x, width);
      leftPixel[x] = CHANNELS * (int) at;
      rightPixel[x] = CHANNELS * (int) Math.ceil(at);
      across[x] = at - (int) at;
    }
    int out = 0;
    for (int y = 0; y < height; y++) {
      float at = position(top, side, y, height);
      int above = (int) at * width * CHANNELS;
      int below = (int) Math.ceil(at) * width * CHANNELS;
      float down = at - (int) at;
      for (int x = 0; x < width; x++) {
        for (int c = 0; c < CHANNELS; c++) {
          float aboveLeft = value(pixels[above + leftPixel[x] + c]);
          float belowLeft = value(pixels[below + leftPixel[x] + c]);
          float upper = lerp(aboveLeft, value(pixels[above + rightPixel[x] + c]), across[x]);
          float lower = lerp(belowLeft, value(pixels[below + rightPixel[x] + c]), across[x]);
          result[out++] = clip(lerp(upper, lower, down));
        }
      }
    }
    return result;
  }

  private static float position(float start, float side, int index, int size) {
    float at = size > 1 ? start * (size - 1) + index * side : 0;
    return Math.min(at, size - 1);
  }

  /** {@code x + delta}. */
  static void adjustBrightness(float[] rgb, float delta) {
    for (int i = 0; i < rgb.length; i++) {
      rgb[i] = clip(rgb[i] + delta);
    }
  }

  /** {@code (x − m)·factor + m} with m the channel's mean over the image. */
  static void adjustContrast(float[] rgb, float factor) {
    double[] sums = new double[CHANNELS];
    for (int i = 0; i < rgb.length; i++) {
      sums[i % CHANNELS] += rgb[i];
    }
    for (int c = 0; c < CHANNELS; c++) {
      float mean = (float) (sums[c] / (rgb.length / CHANNELS));
      for (int i = c; i < rgb.length; i += CHANNELS) {
        rgb[i] = clip((rgb[i] - mean) * factor + mean);
      }
    }
  }

  /**
   * HSV saturation {@code s = (max − min)/max} becomes {@code min(1, s·factor)}. With hue and value
   * max kept, each channel's distance below max scales by the same ratio, so no hue is computed.
   */
  static void adjustSaturation(float[] rgb, float factor) {
    for (int i = 0; i < rgb.length; i += CHANNELS) {
      float max = Math.max(rgb[i], Math.max(rgb[i + 1], rgb[i + 2]));
      float min = Math.min(rgb[i], Math.min(rgb[i + 1], rgb[i + 2]));
      float range = max - min;
      if (range > 0) {
        // s·factor > 1 exactly when range·factor > max; then the lowest channel becomes 0.
        float ratio = Math.min(factor, max / range);
        for (int c = i; c < i + CHANNELS; c++) {
          rgb[c] = clip(max - (max - rgb[c]) * ratio);
        }
      }
    }
  }

  /**
   * The HSV hue turns by {@code delta} (1 is a full turn). In sixths of a turn, a channel at
   * distance k behind the hue has {@code max − (max − min)·clip(min(k, 4 − k), 0, 1)}, with red,
   * green and blue at 5, 3 and 1.
   */
  static void adjustHue(float[] rgb, float delta) {
    for (int i = 0; i < rgb.length; i += CHANNELS) {
      float red = rgb[i];
      float green = rgb[i + 1];
      float blue = rgb[i + 2];
      float max = Math.max(red, Math.max(green, blue));
      float range = max - Math.min(red, Math.min(green, blue));
      if (range > 0) {
        float sixths;
        if (max == red) {
          sixths = (green - blue) / range;
        } else if (max == green) {
          sixths = (blue - red) / range + 2;
        } else {
          sixths = (red - green) / range + 4;
        }
        float hue = sixths + 6 * delta;
        rgb[i] = clip(channel(max, range, hue + 5));
        rgb[i + 1] = clip(channel(max, range, hue + 3));
        rgb[i + 2] = clip(channel(max, range, hue + 1));
      }
    }
  }

  private static float channel(float max, float range, float sixths) {
    float k = sixths - 6 * (float) Math.floor(sixths / 6);
    return max - range * Math.max(0, Math.min(1, Math.min(k, 4 - k)));
  }

  /** As bytes: {@code ⌊255.5·x⌋}. */
  static RgbImage toBytes(float[] rgb, int width, int height) {
    byte[] bytes = new byte[rgb.length];
    for (int i = 0; i < rgb.length; i++) {
      bytes[i] = (byte) Math.min(255, (int) (rgb[i] * 255.5f));
    }
    return new RgbImage(width, height, bytes);
  }

  private static float value(byte pixel) {
    return (pixel & 0xff) * SCALE;
  }

  private static float lerp(float from, float to, float share) {
    return from + (to - from) * share;
  }

  private static float clip(float value) {
    return Math.max(0, Math.min(1, value));
  }
}
