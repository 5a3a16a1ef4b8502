package org.sightline.vla.data.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.Seeds;
import org.sightline.vla.data.TestData;

class AugmentationTest {
  /**
   * Values that leave [0,1] are clipped by us alone, so the documented examples are scaled down.
   */
  private static final float SCALE = 1 / 20f;

  private static float[] scaled(double... values) {
    float[] result = new float[values.length];
    for (int i = 0; i < values.length; i++) {
      result[i] = (float) values[i] * SCALE;
    }
    return result;
  }

  /** The examples in the documentation of {@code tf.image.adjust_*}. */
  @Test
  void documentedExamplesOfTensorFlow() {
    float[] hue = scaled(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    ImageOps.adjustHue(hue, 0.2f);
    assertArrayEquals(
        scaled(2.3999996, 1, 3, 5.4, 4, 6, 8.4, 7, 9, 11.4, 10, 12), hue, 1e-6f * 12 * SCALE);
    float[] saturation = scaled(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    ImageOps.adjustSaturation(saturation, 0.5f);
    assertArrayEquals(
        scaled(2, 2.5, 3, 5, 5.5, 6, 8, 8.5, 9, 11, 11.5, 12), saturation, 1e-6f * 12 * SCALE);
    float[] contrast = scaled(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    ImageOps.adjustContrast(contrast, 2);
    assertArrayEquals(
        scaled(0, 0, 0, 2.5, 3.5, 4.5, 8.5, 9.5, 10.5, 14.5, 15.5, 16.5), contrast, 1e-6f);
    float[] brightness = scaled(1, 2, 3);
    ImageOps.adjustBrightness(brightness, 0.1f);
    assertArrayEquals(new float[] {0.15f, 0.2f, 0.25f}, brightness, 1e-7f);
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3})
  void hueAndSaturationAreThoseOfHsv(long seed) {
    Random random = new Random(seed);
    for (int i = 0; i < 20_000; i++) {
      float[] rgb = {random.nextFloat(), random.nextFloat(), random.nextFloat()};
      switch (i % 5) {
        case 1 -> Arrays.fill(rgb, rgb[0]); // Grey has no hue.
        case 2 -> rgb[random.nextInt(3)] = 0;
        case 3 -> rgb[random.nextInt(3)] = rgb[random.nextInt(3)];
        case 4 -> rgb[random.nextInt(3)] = 1;
        default -> {}
      }
      double[] hsv = hsv(rgb);
      float delta = random.nextFloat() - 0.5f;
      float[] turned = rgb.clone();
      ImageOps.adjustHue(turned, delta);
      assertClose(rgb(hsv[0] + delta, hsv[1], hsv[2]), turned, rgb);
      float factor = 2.5f * random.nextFloat();
      float[] saturated = rgb.clone();
      ImageOps.adjustSaturation(saturated, factor);
      assertClose(rgb(hsv[0], Math.min(1, hsv[1] * factor), hsv[2]), saturated, rgb);
    }
  }

  private static void assertClose(double[] expected, float[] found, float[] of) {
    for (int c = 0; c < 3; c++) {
      assertEquals(expected[c], found[c], 2e-6, () -> Arrays.toString(of));
    }
  }

  /** Textbook conversion, in double: hue in turns, saturation, value. */
  private static double[] hsv(float[] rgb) {
    double r = rgb[0];
    double g = rgb[1];
    double b = rgb[2];
    double value = Math.max(r, Math.max(g, b));
    double chroma = value - Math.min(r, Math.min(g, b));
    double hue;
    if (chroma == 0) {
      hue = 0;
    } else if (value == r) {
      hue = ((g - b) / chroma + 6) % 6;
    } else if (value == g) {
      hue = (b - r) / chroma + 2;
    } else {
      hue = (r - g) / chroma + 4;
    }
    return new double[] {hue / 6, value == 0 ? 0 : chroma / value, value};
  }

  private static double[] rgb(double turns, double saturation, double value) {
    double hue = (turns - Math.floor(turns)) * 6;
    double chroma = saturation * value;
    double middle = chroma * (1 - Math.abs(hue % 2 - 1));
    double[] c =
        switch ((int) hue) {
          case 0 -> new double[] {chroma, middle, 0};
          case 1 -> new double[] {middle, chroma, 0};
          case 2 -> new double[] {0, chroma, middle};
          case 3 -> new double[] {0, middle, chroma};
          case 4 -> new double[] {middle, 0, chroma};
          default -> new double[] {chroma, 0, middle};
        };
    double low = value - chroma;
    return new double[] {c[0] + low, c[1] + low, c[2] + low};
  }

  /** Pixel i of n at {@code start·(n−1) + i·side}, bilinear. */
  private static double[][][] crop(RgbImage image, double top, double left, double side) {
    int height = image.height();
    int width = image.width();
    double[][][] result = new double[height][width][3];
    for (int y = 0; y < height; y++) {
      double atY = height == 1 ? 0 : top * (height - 1) + y * side;
      int y0 = (int) atY;
      int y1 = Math.min(height - 1, y0 + 1);
      for (int x = 0; x < width; x++) {
        double atX = width == 1 ? 0 : left * (width - 1) + x * side;
        int x0 = (int) atX;
        int x1 = Math.min(width - 1, x0 + 1);
        for (int c = 0; c < 3; c++) {
          double above = image.get(x0, y0, c) * (x0 + 1 - atX) + image.get(x1, y0, c) * (atX - x0);
          double below = image.get(x0, y1, c) * (x0 + 1 - atX) + image.get(x1, y1, c) * (atX - x0);
          result[y][x][c] = (above * (y0 + 1 - atY) + below * (atY - y0)) / 255;
        }
      }
    }
    return result;
  }

  @ParameterizedTest
  @CsvSource({"16,16,1", "31,7,2", "1,1,3", "224,224,4", "2,13,5", "1,9,6"})
  void cropsAreBilinearWithAlignedCorners(int width, int height, long seed) {
    Random random = new Random(seed);
    RgbImage image = TestData.noise(width, height, random);
    for (int i = 0; i < 4; i++) {
      double side = i == 0 ? 1 : 0.5 + random.nextDouble() / 2;
      double top = random.nextDouble() * (1 - side);
      double left = i == 1 ? 1 - side : random.nextDouble() * (1 - side); // Up to the edge.
      double[][][] expected = crop(image, top, left, side);
      float[] found = ImageOps.cropAndResize(image, (float) top, (float) left, (float) side);
      for (int k = 0; k < found.length; k++) {
        // An fp32 position in 224 pixels is off by up to 2e-5 of a step between two pixels.
        assertEquals(expected[k / 3 / width][k / 3 % width][k % 3], found[k], 5e-5);
      }
    }
  }

  /**
   * All five operations restated in double, with clipping between them and truncation at the end.
   */
  @ParameterizedTest
  @ValueSource(longs = {11, 12, 13, 14, 15, 16})
  void followsThePaper(long seed) {
    RgbImage image = TestData.noise(40, 40, new Random(seed));
    byte[] found = Augmentation.PAPER.apply(image, seed).pixels();
    double margin = 1 - Math.sqrt(0.9);
    double top = CounterRandom.uniform(seed, 0) * margin;
    double left = CounterRandom.uniform(seed, 1) * margin;
    double[][][] pixels = crop(image, top, left, Math.sqrt(0.9));
    double bright = (2 * CounterRandom.uniform(seed, 2) - 1) * 0.2;
    double contrast = 0.8 + 0.4 * CounterRandom.uniform(seed, 3);
    double saturation = 0.8 + 0.4 * CounterRandom.uniform(seed, 4);
    double turn = (2 * CounterRandom.uniform(seed, 5) - 1) * 0.05;
    double[] means = new double[3];
    for (double[][] row : pixels) {
      for (double[] pixel : row) {
        for (int c = 0; c < 3; c++) {
          pixel[c] = clip(pixel[c] + bright);
          means[c] += pixel[c] / 1600;
        }
      }
    }
    int different = 0;
    for (int k = 0; k < 1600; k++) {
      double[] pixel = pixels[k / 40][k % 40];
      for (int c = 0; c < 3; c++) {
        pixel[c] = clip((pixel[c] - means[c]) * contrast + means[c]);
      }
      double[] hsv = hsv(new float[] {(float) pixel[0], (float) pixel[1], (float) pixel[2]});
      pixel = rgb(hsv[0] + turn, Math.min(1, hsv[1] * saturation), hsv[2]);
      for (int c = 0; c < 3; c++) {
        int expected = Math.min(255, (int) (pixel[c] * 255.5));
        int difference = Math.abs(expected - (found[3 * k + c] & 0xff));
        assertTrue(difference <= 1, "pixel " + k + ": " + difference);
        different += difference;
      }
    }
    assertTrue(different < 48, different + " of 4800 bytes fell on the other side of a rounding");
  }

  private static double clip(double value) {
    return Math.max(0, Math.min(1, value));
  }

  @Test
  void pixelsDependOnTheKeyAlone() throws Exception {
    RgbImage image = TestData.noise(48, 32, new Random(5));
    List<byte[]> expected = new ArrayList<>();
    for (int view = 0; view < 24; view++) {
      expected.add(Augmentation.PAPER.apply(image, key(view)).pixels());
      for (int other = 0; other < view; other++) {
        assertFalse(Arrays.equals(expected.get(other), expected.get(view)), other + ", " + view);
      }
    }
    ExecutorService threads = Executors.newFixedThreadPool(4);
    try {
      List<Future<byte[]>> found = new ArrayList<>();
      for (int view = 23; view >= 0; view--) {
        long key = key(view);
        found.add(threads.submit(() -> Augmentation.PAPER.apply(image, key).pixels()));
      }
      for (int view = 0; view < 24; view++) {
        assertArrayEquals(expected.get(view), found.get(23 - view).get());
      }
    } finally {
      threads.shutdownNow();
    }
  }

  private static long key(int view) {
    return CounterRandom.key(7, Seeds.hash(0, "bridge"), 3, 4, view);
  }

  /** Start and side are rounded apart, so their sum can be a little more than the whole. */
  @Test
  void positionsBeyondTheEdgeAreTheEdge() {
    RgbImage row = TestData.noise(97, 1, new Random(1));
    Random random = new Random(2);
    for (int i = 0; i < 5000; i++) {
      float side = 0.5f + random.nextFloat() / 2;
      float[] found = ImageOps.cropAndResize(row, 0, 1 - side + 2e-7f, side);
      assertEquals(row.get(96, 0, 1) / 255.0, found[96 * 3 + 1], 1e-4);
    }
  }

  /**
   * A bar of 40 pixels: in the middle crop as wide as in every training crop, not as in the file.
   */
  @Test
  void evaluationShowsThingsAsLargeAsTrainingDoes() {
    byte[] pixels = new byte[120 * 120 * 3];
    for (int y = 0; y < 120; y++) {
      Arrays.fill(pixels, (y * 120 + 40) * 3, (y * 120 + 80) * 3, (byte) 255);
    }
    RgbImage bar = new RgbImage(120, 120, pixels);
    double expected = 40 / Math.sqrt(0.9);
    assertEquals(expected, width(Augmentation.PAPER.centre(bar)), 0.3);
    Augmentation cropOnly = new Augmentation(0.9, 0, 0, 0, 0);
    double moved = 0;
    for (int key = 0; key < 20; key++) {
      RgbImage crop = cropOnly.apply(bar, key);
      assertEquals(expected, width(crop), 0.3);
      moved = Math.max(moved, Math.abs(centre(crop) - 59.5));
    }
    assertEquals(59.5, centre(Augmentation.PAPER.centre(bar)), 0.1);
    assertTrue(moved > 1, "crops move by up to " + moved);
    assertEquals(3.2, moved, 1, "at most (1 − √0.9)/2 of 119 pixels, enlarged");
  }

  private static double width(RgbImage image) {
    double sum = 0;
    for (int x = 0; x < image.width(); x++) {
      sum += image.get(x, 60, 1) / 255.0;
    }
    return sum;
  }

  private static double centre(RgbImage image) {
    double sum = 0;
    for (int x = 0; x < image.width(); x++) {
      sum += x * image.get(x, 60, 1) / 255.0;
    }
    return sum / width(image);
  }

  @Test
  void transformsCropForEvaluationAndAugmentForTraining() {
    RgbImage image = TestData.noise(20, 20, new Random(8));
    ImageTransform plain = new ImageTransform(20);
    ImageTransform augmenting = new ImageTransform(20, Augmentation.PAPER);
    assertArrayEquals(
        pixels(plain, Augmentation.PAPER.centre(image)), pixels(augmenting, image), "evaluation");
    float[] training = new float[augmenting.length()];
    augmenting.applyAugmented(image, 77, training, 0);
    assertArrayEquals(pixels(plain, Augmentation.PAPER.apply(image, 77)), training);
    float[] without = new float[plain.length()];
    plain.applyAugmented(image, 77, without, 0);
    assertArrayEquals(pixels(plain, image), without, "no augmentation, no crop");
  }

  private static float[] pixels(ImageTransform transform, RgbImage image) {
    float[] target = new float[transform.length()];
    transform.apply(image, target, 0);
    return target;
  }

  /** Uniform, and no parameter tells anything of another: the fault of the original. */
  @Test
  void randomNumbersAreUniformAndUnrelated() {
    int count = 20_000;
    for (int[] pair : new int[][] {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}}) {
      double product = 0;
      double sum = 0;
      double squares = 0;
      for (int i = 0; i < count; i++) {
        long key = CounterRandom.key(3, 9, i / 50, i % 50, 1);
        double a = CounterRandom.uniform(key, pair[0]) - 0.5;
        double b = CounterRandom.uniform(key, pair[1]) - 0.5;
        product += a * b;
        sum += a;
        squares += a * a;
      }
      // Standard deviations: 1/12/√n, √(1/12)/√n and √(1/180)/√n; five of each are allowed.
      double root = Math.sqrt(count);
      assertEquals(0, product / count, 5 / 12.0 / root);
      assertEquals(0, sum / count, 5 * Math.sqrt(1 / 12.0) / root);
      assertEquals(1 / 12.0, squares / count, 5 * Math.sqrt(1 / 180.0) / root);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "0, .2, .2, .2, .05, 'cropArea: found 0.0, expected above 0 to 1'",
    "1.1, .2, .2, .2, .05, 'cropArea: found 1.1, expected 0.0 to 1.0'",
    "NaN, .2, .2, .2, .05, 'cropArea: found NaN, expected 0.0 to 1.0'",
    ".9, -1, .2, .2, .05, 'brightness: found -1.0, expected 0.0 to 1.0'",
    ".9, .2, 2, .2, .05, 'contrast: found 2.0, expected 0.0 to 1.0'",
    ".9, .2, .2, 7, .05, 'saturation: found 7.0, expected 0.0 to 1.0'",
    ".9, .2, .2, .2, .6, 'hue: found 0.6, expected 0.0 to 0.5'"
  })
  void wrongRangesAreExplained(
      double area, double bright, double contrast, double saturation, double hue, String message) {
    assertEquals(
        message,
        assertThrows(
                IllegalArgumentException.class,
                () -> new Augmentation(area, bright, contrast, saturation, hue))
            .getMessage());
  }
}
