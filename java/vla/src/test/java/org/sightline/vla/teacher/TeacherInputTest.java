package org.sightline.vla.teacher;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Map;
import java.util.Random;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.Device;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.vla.checkpoint.SafetensorsWeights;
import org.sightline.vla.data.image.ImageTransform;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.model.TinyModels;

/** From a camera image through the policy's transform to each teacher's own input. */
class TeacherInputTest {
  /** OpenVLA's: 224 pixels in 16×16 patches. */
  private static final int SIZE = 224;

  private static final int GRID = 16;

  @TempDir private Path folder;

  private static RgbImage image(int size) {
    var bytes = new byte[3 * size * size];
    new Random(2).nextBytes(bytes);
    return new RgbImage(size, size, bytes);
  }

  private static Tensor pixels(RgbImage image, int size) {
    var transform = new ImageTransform(size);
    var values = new float[transform.length()];
    transform.apply(image, values, 0);
    return Tensor.create(values, 1, ImageTransform.CHANNELS, size, size);
  }

  /** Channel c of an image as values in [0,1], at c·size². */
  private static double[] unitRange(RgbImage image) {
    int plane = image.width() * image.height();
    var values = new double[3 * plane];
    for (int i = 0; i < values.length; i++) {
      values[i] = (image.pixels()[3 * (i % plane) + i / plane] & 0xff) / 255.0;
    }
    return values;
  }

  private TeacherConfig preset(String name) throws Exception {
    Path empty = folder.resolve("empty.safetensors");
    Safetensors.write(empty, Map.of("none", torch.zeros(1)), Map.of());
    try (var files = SafetensorsWeights.open(empty)) {
      return Architectures.preset(name, files).variants().get(0).config().forGrid(GRID);
    }
  }

  private static double[] normalised(double[] values, double[] mean, double[] std) {
    var result = new double[values.length];
    for (int i = 0; i < values.length; i++) {
      int c = i / (values.length / 3);
      result[i] = (values[i] - mean[c]) / std[c];
    }
    return result;
  }

  /** Back to [0,1] at 256 pixels, then CLIP's constants, which the file would hold. */
  @ParameterizedTest
  @ValueSource(strings = {"c-radio_v3-b", "c-radio_v3-l", "c-radio_v3-h", "c-radio_v3-g"})
  void cRadioSees256PixelsConditioned(String preset) throws Exception {
    TeacherConfig config = preset(preset);
    assertEquals(256, config.vision().imageSize());
    RgbImage image = image(SIZE);
    try (PointerScope scope = new PointerScope();
        var input = new TeacherInput(config, Device.CPU)) {
      Tensor found = input.of(pixels(image, SIZE));
      assertArrayEquals(new long[] {1, 3, 256, 256}, found.shape());
      double[] expected =
          normalised(
              TeacherOracle.resized(unitRange(image), SIZE, 256),
              new double[] {.48145466, .4578275, .40821073},
              new double[] {.26862954, .26130258, .27577711});
      assertTrue(TinyModels.relativeError(TinyModels.doubles(found), expected) < 1e-6);
    }
  }

  /** Not a bit is changed, also not by ImageNet's unrounded constants. */
  @ParameterizedTest
  @ValueSource(strings = {"dinov2_vitl14", "dinov2_vitg14", "dinov2_vitb14_reg"})
  void dinoV2SeesThePolicysPixelsAsTheyAre(String preset) throws Exception {
    try (PointerScope scope = new PointerScope();
        var input = new TeacherInput(preset(preset), Device.CPU)) {
      Tensor pixels = pixels(image(SIZE), SIZE);
      assertTrue(input.of(pixels).equal(pixels.narrow(1, 0, 3)));
    }
  }

  @ParameterizedTest
  @CsvSource({"siglip-so400m-patch14-224, 224", "siglip-base-patch16-224, 256"})
  void sigLipSeesTheSymmetricPixels(String preset, int size) throws Exception {
    TeacherConfig config = preset(preset);
    assertEquals(size, config.vision().imageSize());
    RgbImage image = image(SIZE);
    try (PointerScope scope = new PointerScope();
        var input = new TeacherInput(config, Device.CPU)) {
      Tensor pixels = pixels(image, SIZE);
      double[] found = TinyModels.doubles(input.of(pixels));
      double[] half = {.5, .5, .5};
      double[] expected =
          normalised(TeacherOracle.resized(unitRange(image), SIZE, size), half, half);
      assertTrue(TinyModels.relativeError(found, expected) < 1e-6);
      if (size == SIZE) {
        double[] policys = TinyModels.doubles(pixels.narrow(1, 3, 3));
        assertTrue(TinyModels.relativeError(found, policys) < 1e-6);
      }
    }
  }

  /** Kept normalised with the policy's constants, as the paper's code does. */
  @Test
  void theiaSees256PixelsThatStayNormalised() throws Exception {
    TeacherConfig config = preset("theia-base-patch16-224");
    assertEquals(256, config.vision().imageSize());
    RgbImage image = image(SIZE);
    try (PointerScope scope = new PointerScope();
        var input = new TeacherInput(config, Device.CPU)) {
      double[] expected =
          normalised(
              TeacherOracle.resized(unitRange(image), SIZE, 256),
              new double[] {.484375, .455078125, .40625},
              new double[] {.228515625, .2236328125, .224609375});
      double[] found = TinyModels.doubles(input.of(pixels(image, SIZE)));
      assertTrue(TinyModels.relativeError(found, expected) < 1e-6);
    }
  }
}
