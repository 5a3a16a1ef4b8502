package org.sightline.vla.data.image;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.function.BiConsumer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.javacpp.indexer.FloatIndexer;
import org.bytedeco.javacpp.indexer.UByteIndexer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.sightline.Sightline;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.vla.Fixtures;

/** Images against PIL and torchvision: {@code image_fixtures.py}. */
class ImageParityTest {
  /** A few roundings of fp32 values in [0,1]. */
  private static final double ROUNDINGS = 8 * Math.ulp(1f);

  private PointerScope scope;
  private Safetensors file;

  @BeforeEach
  void open() throws IOException {
    Sightline.load();
    scope = new PointerScope();
    file = Safetensors.open(Fixtures.root().resolve("images.safetensors"));
  }

  @AfterEach
  void close() throws IOException {
    file.close();
    scope.close();
  }

  private interface Case {
    void check(String prefix) throws IOException;
  }

  /** Cases are numbered from 0. */
  private void each(String name, int least, Case check) throws IOException {
    int count = 0;
    while (file.names().stream().anyMatch(startsWith(name + "." + count + "."))) {
      check.check(name + "." + count + ".");
      count++;
    }
    assertTrue(count >= least, count + " cases of " + name);
  }

  private static java.util.function.Predicate<String> startsWith(String prefix) {
    return name -> name.startsWith(prefix);
  }

  private byte[] bytes(String name) throws IOException {
    Tensor tensor = file.tensor(name).flatten();
    byte[] values = new byte[Math.toIntExact(tensor.numel())];
    try (UByteIndexer indexer = tensor.createIndexer()) {
      for (int i = 0; i < values.length; i++) {
        values[i] = (byte) indexer.get(i);
      }
    }
    return values;
  }

  private float[] floats(String name) throws IOException {
    Tensor tensor = file.tensor(name).to(ScalarType.Float).flatten();
    float[] values = new float[Math.toIntExact(tensor.numel())];
    try (FloatIndexer indexer = tensor.createIndexer()) {
      indexer.get(0, values);
    }
    return values;
  }

  private RgbImage image(String name) throws IOException {
    long[] shape = file.tensor(name).shape();
    return new RgbImage((int) shape[1], (int) shape[0], bytes(name));
  }

  /** Bytes are the rounded values; a value beside a half may go either way. */
  @Test
  void lanczosIsThatOfPil() throws IOException {
    each(
        "lanczos",
        5,
        prefix -> {
          float[] exact = floats(prefix + "exact");
          long[] shape = file.tensor(prefix + "exact").shape();
          RgbImage found = Lanczos3.resize(image(prefix + "input"), (int) shape[1], (int) shape[0]);
          for (int i = 0; i < exact.length; i++) {
            double wanted = Math.max(0, Math.min(255, exact[i]));
            // fp32 of values to 255 times a sum of weights about 1.
            assertEquals(wanted, found.pixels()[i] & 0xff, 0.5 + 1e-3, prefix + i);
          }
        });
  }

  @Test
  void pixelsAreNormalisedAsByTorchvision() throws IOException {
    RgbImage image = image("normal.input");
    ImageTransform transform = new ImageTransform(image.width());
    float[] found = new float[transform.length()];
    transform.apply(image, found, 0);
    float[] expected = floats("normal.pixels");
    for (int i = 0; i < found.length; i++) {
      assertEquals(expected[i], found[i], 4 * ROUNDINGS, "value " + i);
    }
  }

  @Test
  void cropsSampleAsTorchsGridSample() throws IOException {
    each(
        "crop",
        4,
        prefix -> {
          float[] box = floats(prefix + "box");
          float[] found = ImageOps.cropAndResize(image(prefix + "input"), box[0], box[1], box[2]);
          float[] exact = floats(prefix + "exact");
          for (int i = 0; i < exact.length; i++) {
            // Positions to 14 pixels in fp32, times differences of neighbours to 1.
            assertEquals(exact[i], found[i], 14 * ROUNDINGS, prefix + i);
          }
        });
  }

  @Test
  void hueIsThatOfTorchvision() throws IOException {
    checkColours("hue", "delta", ImageOps::adjustHue);
  }

  @Test
  void saturationIsThatOfColorsys() throws IOException {
    checkColours("saturation", "factor", ImageOps::adjustSaturation);
  }

  private void checkColours(String name, String parameter, BiConsumer<float[], Float> operation)
      throws IOException {
    each(
        name,
        4,
        prefix -> {
          float[] found = floats("colours");
          operation.accept(found, floats(prefix + parameter)[0]);
          float[] exact = floats(prefix + "exact");
          for (int i = 0; i < exact.length; i++) {
            assertEquals(exact[i], found[i], ROUNDINGS, prefix + i);
          }
        });
  }

  /** In every colour and sampling, to the byte: libjpeg-turbo with its accurate DCT. */
  @Test
  void jpegsDecodeAsByPil() throws IOException {
    each(
        "jpeg",
        17,
        prefix -> {
          RgbImage found = ImageCodec.decode(bytes(prefix + "encoded"));
          RgbImage expected = image(prefix + "decoded");
          assertEquals(expected.width(), found.width());
          for (int i = 0; i < found.pixels().length; i++) {
            assertEquals(expected.pixels()[i] & 0xff, found.pixels()[i] & 0xff, prefix + i);
          }
        });
  }
}
