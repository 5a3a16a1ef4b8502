package org.sightline.vla.teacher;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.vla.Fixtures;

/** Teachers against the features that transformers and timm compute with the same weights. */
class PublishedTeacherParityTest {
  /** fp32 against fp32, each within 1e-5 of the exact result. */
  private static final double TOLERANCE = 2e-5;

  @TempDir private Path folder;

  @TestFactory
  Stream<DynamicTest> teachersEqualTheLibraries() throws Exception {
    List<Path> fixtures = Fixtures.folders("teachers");
    return fixtures.stream()
        .map(
            fixture ->
                DynamicTest.dynamicTest(
                    fixture.getFileName().toString(),
                    () -> new ParityFixture(fixture).check(TOLERANCE)));
  }

  /**
   * The comparison itself, on a fixture in the scripts' format that is made here: a transformer
   * whose blocks do nothing gives patches and positions.
   */
  @Test
  void aFixtureIsReadAndItsFeaturesAreCompared() throws Exception {
    var t =
        new PublishedTensors(1)
            .token("pos_embed", 1, 4, 8)
            .linear("patch_embed.proj", 8, 3, 2, 2)
            .norm("norm", 8);
    for (String module : List.of("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")) {
      int out = module.equals("attn.qkv") ? 24 : module.equals("mlp.fc1") ? 16 : 8;
      t.linear("blocks.0." + module, out, module.equals("mlp.fc2") ? 16 : 8);
    }
    t.norm("blocks.0.norm1", 8).norm("blocks.0.norm2", 8);
    for (String module : List.of("attn.proj", "mlp.fc2")) {
      t.zero("blocks.0." + module + ".weight").zero("blocks.0." + module + ".bias");
    }
    t.write(folder.resolve("model.safetensors"));
    Files.writeString(
        folder.resolve("fixture.json"),
        """
        {"family": "siglip", "image_size": 4, "patch_size": 2, "width": 8, "depth": 1, "heads": 2,
         "mlp_width": 16}
        """);
    var vit = new ReferenceViT(t.doubles(), 2, 1e-6);
    double[][] x = vit.linearOf(ReferenceViT.patches(ramp(), 4, 2), "patch_embed.proj");
    double[][] rows = vit.rows("pos_embed", 8);
    for (int i = 0; i < 4; i++) {
      for (int k = 0; k < 8; k++) {
        x[i][k] += rows[i][k];
      }
    }
    double[] features =
        Arrays.stream(vit.norm(x, "norm")).flatMapToDouble(Arrays::stream).toArray();
    writeExpected(features);
    new ParityFixture(folder).check(TOLERANCE);

    features[17] += 1e-3;
    writeExpected(features);
    var e = assertThrows(AssertionError.class, () -> new ParityFixture(folder).check(TOLERANCE));
    assertTrue(e.getMessage().contains(" input.4: error "), e.getMessage());
  }

  private static double[] ramp() {
    var image = new double[48];
    Arrays.setAll(image, i -> Math.sin(i));
    return image;
  }

  private void writeExpected(double[] features) throws Exception {
    try (PointerScope scope = new PointerScope()) {
      Map<String, Tensor> tensors = new LinkedHashMap<>();
      tensors.put("input.4", Tensor.create(ramp(), 1, 3, 4, 4).to(torch.ScalarType.Float));
      tensors.put("features.4", Tensor.create(features, 1, 4, 8).to(torch.ScalarType.Float));
      Safetensors.write(folder.resolve("expected.safetensors"), tensors, Map.of());
    }
  }
}
