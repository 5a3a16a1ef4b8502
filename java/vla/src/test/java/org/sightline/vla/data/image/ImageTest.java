package org.sightline.vla.data.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.formats.tfrecord.DatasetFormatException;
import org.sightline.vla.data.TestData;

class ImageTest {
  @ParameterizedTest
  @CsvSource({
    "16,12,7,5",
    "7,5,16,12",
    "64,64,56,56",
    "40,30,224,224",
    "13,1,5,3",
    "1,1,4,4",
    "9,31,31,9",
    "200,150,32,32",
    "3,2,2,3"
  })
  void lanczosMatchesThePlainDefinition(int width, int height, int toWidth, int toHeight) {
    RgbImage image = TestData.noise(width, height, new Random(width * 31L + height));
    RgbImage resized = Lanczos3.resize(image, toWidth, toHeight);
    int differing = 0;
    for (int y = 0; y < toHeight; y++) {
      for (int x = 0; x < toWidth; x++) {
        for (int c = 0; c < 3; c++) {
          double exact = reference(image, toWidth, toHeight, x, y, c);
          double expected = Math.max(0, Math.min(255, Math.rint(exact)));
          int actual = resized.get(x, y, c);
          // Floats may round the other way only where the exact value is next to a half.
          if (expected != actual) {
            differing++;
            assertEquals(0.5, Math.abs(exact - Math.floor(exact)), 1e-3, x + "," + y);
            assertEquals(expected, actual, 1.0);
          }
        }
      }
    }
    assertTrue(differing <= toWidth * toHeight * 3 / 100, differing + " pixels differ");
  }

  /** The two-dimensional sum in doubles, from the definition: not separable, no tables. */
  private static double reference(RgbImage in, int w, int h, int x, int y, int c) {
    double sx = (double) in.width() / w;
    double sy = (double) in.height() / h;
    double sum = 0;
    double weights = 0;
    for (int j = 0; j < in.height(); j++) {
      double wy = lanczos((j + 0.5 - (y + 0.5) * sy) / Math.max(1, sy));
      for (int i = 0; i < in.width(); i++) {
        double weight = wy * lanczos((i + 0.5 - (x + 0.5) * sx) / Math.max(1, sx));
        sum += weight * in.get(i, j, c);
        weights += weight;
      }
    }
    return sum / weights;
  }

  private static double lanczos(double x) {
    if (x == 0) {
      return 1;
    }
    return Math.abs(x) >= 3 ? 0 : sinc(x) * sinc(x / 3);
  }

  private static double sinc(double x) {
    return Math.sin(Math.PI * x) / (Math.PI * x);
  }

  @Test
  void constantImagesStayConstant() {
    byte[] pixels = new byte[37 * 23 * 3];
    Arrays.fill(pixels, (byte) 201);
    RgbImage resized = Lanczos3.resize(new RgbImage(37, 23, pixels), 56, 11);
    for (byte value : resized.pixels()) {
      assertEquals(201, value & 0xff);
    }
  }

  /** Half-pixel centres: a ramp stays a ramp, without the shift of a corner-aligned resize. */
  @Test
  void rampsKeepTheirPlace() {
    int size = 64;
    byte[] pixels = new byte[size * size * 3];
    for (int i = 0; i < pixels.length; i++) {
      pixels[i] = (byte) (4 * (i / 3 % size));
    }
    for (int to : new int[] {32, 128}) {
      RgbImage resized = Lanczos3.resize(new RgbImage(size, size, pixels), to, to);
      for (int x = to / 8; x < to - to / 8; x++) {
        double expected = 4 * ((x + 0.5) * size / to - 0.5);
        assertEquals(expected, resized.get(x, to / 2, 0), 1.0, "at " + x + " of " + to);
      }
    }
  }

  @Test
  void overshootIsClippedNotWrapped() {
    byte[] pixels = new byte[32 * 32 * 3];
    for (int i = 0; i < pixels.length; i++) {
      pixels[i] = (byte) (i / 3 % 32 < 16 ? 0 : 255);
    }
    RgbImage resized = Lanczos3.resize(new RgbImage(32, 32, pixels), 80, 80);
    for (int x = 0; x < 80; x++) {
      int value = resized.get(x, 40, 1);
      assertTrue(x < 36 ? value < 40 : x < 44 || value > 215, x + ": " + value);
    }
  }

  @Test
  void equalSizeIsTheIdentity() {
    RgbImage image = TestData.noise(20, 10, new Random(3));
    assertSame(image, Lanczos3.resize(image, 20, 10));
  }

  @Test
  void normalisesForBothBackbones() {
    byte[] pixels = {0, (byte) 128, (byte) 255};
    float[] target = new float[8];
    Arrays.fill(target, 99f);
    new ImageTransform(1).apply(new RgbImage(1, 1, pixels), target, 1);
    double[] expected = {
      99,
      (0 - 0.484375) / 0.228515625,
      (128 / 255.0 - 0.455078125) / 0.2236328125,
      (1 - 0.40625) / 0.224609375,
      -1,
      128 / 255.0 * 2 - 1,
      1,
      99
    };
    for (int i = 0; i < 8; i++) {
      assertEquals(expected[i], target[i], 1e-6, "value " + i);
    }
  }

  @Test
  void pixelValuesAreLaidOutByChannelThenRow() {
    RgbImage image = TestData.noise(5, 5, new Random(9));
    float[] target = new float[new ImageTransform(5).length()];
    new ImageTransform(5).apply(image, target, 0);
    for (int c = 0; c < 3; c++) {
      float sigLip = target[(3 + c) * 25 + 3 * 5 + 1];
      assertEquals(image.get(1, 3, c) / 255.0 * 2 - 1, sigLip, 1e-6);
    }
  }

  @Test
  void pngSurvivesUnchangedAndJpegNearly() throws IOException {
    RgbImage noise = TestData.noise(31, 17, new Random(5));
    assertArrayEquals(noise.pixels(), ImageCodec.decode(TestData.png(noise)).pixels());
    byte[] smooth = new byte[48 * 48 * 3];
    for (int i = 0; i < smooth.length; i++) {
      smooth[i] = (byte) (i % 3 == 0 ? 220 : i % 3 == 1 ? 2 * (i / 3 / 48) : 30);
    }
    RgbImage back = ImageCodec.decode(ImageCodec.encodeJpeg(new RgbImage(48, 48, smooth), 0.95f));
    assertEquals(48, back.width());
    for (int i = 0; i < smooth.length; i++) {
      assertEquals(smooth[i] & 0xff, back.pixels()[i] & 0xff, 6, "byte " + i);
    }
  }

  @Test
  void otherFilesAreRefusedByName() {
    String[] files = {
      "", "found 0 bytes",
      "hello", "found 5 bytes starting with 68 65 6c 6c",
      "GIF89a", "found a GIF image of 6 bytes",
      "BM1234", "found a BMP image of 6 bytes",
      "II*\0", "found a TIFF image of 4 bytes",
      "MM\0*", "found a TIFF image of 4 bytes",
      "RIFF1234WEBP", "found a WebP image of 12 bytes"
    };
    for (int i = 0; i < files.length; i += 2) {
      byte[] file = files[i].getBytes(StandardCharsets.US_ASCII);
      assertEquals(
          files[i + 1] + ", expected a JPEG or PNG image",
          assertThrows(DatasetFormatException.class, () -> ImageCodec.decode(file)).getMessage());
    }
  }

  @Test
  void codecsOfPluginsAreNotTaken() {
    ImageReader ofJdk = ImageIO.getImageReadersByFormatName("png").next();
    assertSame(ofJdk, ImageCodec.ofJdk(List.of("a plugin", ofJdk).iterator()));
  }

  @Test
  void wrongSizesAreExplained() {
    assertEquals(
        "RgbImage: found 11 bytes for 2x2, expected width*height*3 and both at least 1",
        assertThrows(IllegalArgumentException.class, () -> new RgbImage(2, 2, new byte[11]))
            .getMessage());
    assertThrows(IllegalArgumentException.class, () -> new ImageTransform(0));
  }
}
