package org.sightline.vla.data.image;

/**
 * Resizing as the RLDS training loader does it: {@code tf.image.resize(lanczos3, antialias=True)},
 * then rounding to even and clipping to 0–255. The aspect ratio is not kept.
 *
 * <p>Per axis with scale {@code s = in/out}, output pixel {@code o} samples the input around {@code
 * c = (o + 0.5)·s} (half-pixel centres) with weights {@code k((i + 0.5 − c)/max(1, s))} over the
 * support {@code 3·max(1, s)}, normalised to sum 1, where {@code k(x) = sinc(x)·sinc(x/3)} for
 * {@code |x| ≤ 3} (tensorflow/core/kernels/image/scale_and_translate_op.cc). Rows are resampled
 * first, then columns, in floats.
 */
public final class Lanczos3 {
  private static final double RADIUS = 3;

  private Lanczos3() {}

  /** Resizes to {@code width} × {@code height} pixels; the image itself if it has that size. */
  public static RgbImage resize(RgbImage image, int width, int height) {
    if (image.width() == width && image.height() == height) {
      return image; // The weights at integer distances are 1 and 0.
    }
    Axis vertical = Axis.of(image.height(), height);
    Axis horizontal = Axis.of(image.width(), width);
    int stride = image.width() * 3;
    byte[] source = image.pixels();
    byte[] result = new byte[width * height * 3];
    float[] row = new float[stride];
    for (int y = 0; y < height; y++) {
      java.util.Arrays.fill(row, 0f);
      float[] weights = vertical.weights[y];
      for (int k = 0; k < weights.length; k++) {
        int start = (vertical.first[y] + k) * stride;
        float weight = weights[k];
        for (int i = 0; i < stride; i++) {
          row[i] += weight * (source[start + i] & 0xff);
        }
      }
      for (int x = 0; x < width; x++) {
        float[] across = horizontal.weights[x];
        int at = horizontal.first[x] * 3;
        float red = 0;
        float green = 0;
        float blue = 0;
        for (float weight : across) {
          red += weight * row[at];
          green += weight * row[at + 1];
          blue += weight * row[at + 2];
          at += 3;
        }
        int out = (y * width + x) * 3;
        result[out] = round(red);
        result[out + 1] = round(green);
        result[out + 2] = round(blue);
      }
    }
    return new RgbImage(width, height, result);
  }

  private static byte round(float value) {
    return (byte) Math.max(0, Math.min(255, (int) Math.rint(value)));
  }

  /** For every output position, the first input position and the weights from there on. */
  private record Axis(int[] first, float[][] weights) {
    static Axis of(int in, int out) {
      double scale = (double) in / out;
      double widening = Math.max(1, scale);
      int[] first = new int[out];
      float[][] weights = new float[out][];
      for (int o = 0; o < out; o++) {
        double centre = (o + 0.5) * scale;
        int from = (int) Math.ceil(centre - RADIUS * widening - 0.5);
        int to = (int) Math.floor(centre + RADIUS * widening - 0.5);
        from = Math.max(0, from);
        to = Math.min(in - 1, to);
        double[] exact = new double[to - from + 1];
        double sum = 0;
        for (int i = from; i <= to; i++) {
          exact[i - from] = kernel((i + 0.5 - centre) / widening);
          sum += exact[i - from];
        }
        first[o] = from;
        weights[o] = new float[exact.length];
        for (int k = 0; k < exact.length; k++) {
          weights[o][k] = (float) (exact[k] / sum);
        }
      }
      return new Axis(first, weights);
    }
  }

  private static double kernel(double x) {
    double distance = Math.abs(x);
    if (distance > RADIUS) {
      return 0;
    }
    if (distance < 1e-3) {
      return 1; // TensorFlow's threshold.
    }
    double angle = Math.PI * distance;
    return RADIUS * Math.sin(angle) * Math.sin(angle / RADIUS) / (angle * angle);
  }
}
