package org.sightline.vla.teacher;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.sightline.vla.model.ReferenceMath.add;
import static org.sightline.vla.model.ReferenceMath.columns;
import static org.sightline.vla.model.ReferenceMath.linear;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.vla.checkpoint.SafetensorsWeights;
import org.sightline.vla.model.ReferenceMath;
import org.sightline.vla.model.TinyModels;
import org.sightline.vla.model.VisionConfig;
import org.sightline.vla.model.VisionEncoder;

/** C-RADIOv3 against fp64 loops on tensors under the published names. */
class CRadioV3Test {
  private static final int WIDTH = 24;
  private static final int HEADS = 3;
  private static final int DEPTH = 2;
  private static final int PATCH = 4;
  private static final int GRID = 9;

  @TempDir private Path folder;

  /** Names and shapes of nvidia/C-RADIOv3-*: {@code outer} and {@code model} begin them. */
  private static PublishedTensors tensors(
      String outer, String model, int tokens, boolean layerScale, String gamma) {
    var t =
        new PublishedTensors(1)
            .put(outer + "input_conditioner.norm_mean", 0.45, 0.1, 3, 1, 1)
            .put(outer + "input_conditioner.norm_std", 0.27, 0.02, 3, 1, 1)
            .token(model + "patch_generator.cls_token.token", tokens, WIDTH)
            .matrix(model + "patch_generator.embedder.weight", WIDTH, 3 * PATCH * PATCH)
            .token(model + "patch_generator.pos_embed", 1, GRID * GRID, WIDTH)
            .token(model + "reg_token", 1, 4, WIDTH);
    for (int i = 0; i < DEPTH; i++) {
      String block = model + "blocks." + i + ".";
      t.norm(block + "norm1", WIDTH)
          .linear(block + "attn.qkv", 3 * WIDTH, WIDTH)
          .linear(block + "attn.proj", WIDTH, WIDTH)
          .norm(block + "norm2", WIDTH)
          .linear(block + "mlp.fc1", 4 * WIDTH, WIDTH)
          .linear(block + "mlp.fc2", WIDTH, 4 * WIDTH);
      if (layerScale) {
        t.scale(block + "ls1." + gamma, WIDTH).scale(block + "ls2." + gamma, WIDTH);
      }
    }
    return t;
  }

  private static double[][] reference(
      PublishedTensors tensors,
      String outer,
      String model,
      String gamma,
      boolean aligned,
      int grid,
      double[] pixels,
      int side) {
    var vit = new ReferenceViT(tensors.doubles(), HEADS, 1e-6);
    int size = grid * PATCH;
    double[] image = TeacherOracle.toUnitRange(TeacherOracle.resized(pixels, side, size));
    for (int i = 0; i < image.length; i++) {
      int c = i / (size * size);
      image[i] =
          (image[i] - vit.get(outer + "input_conditioner.norm_mean")[c])
              / vit.get(outer + "input_conditioner.norm_std")[c];
    }
    double[][] x =
        linear(
            ReferenceViT.patches(image, size, PATCH),
            vit.get(model + "patch_generator.embedder.weight"),
            null);
    double[][] positions = vit.rows(model + "patch_generator.pos_embed", WIDTH);
    if (grid != GRID) {
      positions =
          ReferenceResampling.rows(positions, ReferenceResampling.bilinear(GRID, grid, aligned));
    }
    double[][] prefix = vit.rows(model + "patch_generator.cls_token.token", WIDTH);
    x = ReferenceViT.join(prefix, add(x, positions, null));
    for (int i = 0; i < DEPTH; i++) {
      String block = model + "blocks." + i + ".";
      double[][] h = vit.norm(x, block + "norm1");
      double[][] attended = vit.attend(h, block + "attn.qkv", block + "attn.proj");
      x = vit.residual(x, attended, gamma == null ? null : block + "ls1." + gamma);
      double[][] mlp =
          vit.mlp(
              vit.norm(x, block + "norm2"),
              block + "mlp.fc1",
              block + "mlp.fc2",
              ReferenceMath::gelu);
      x = vit.residual(x, mlp, gamma == null ? null : block + "ls2." + gamma);
    }
    return Arrays.copyOfRange(x, prefix.length, x.length);
  }

  private static VisionConfig vision(boolean layerScale) {
    int size = GRID * PATCH;
    return VisionConfig.vit(size, PATCH, WIDTH, DEPTH, HEADS, 4 * WIDTH).withLayerScale(layerScale);
  }

  /** As the presets, but for its size. */
  private static VisionTeacher open(
      Path file, boolean layerScale, boolean aligned, int grid, DType dtype) throws Exception {
    try (var files = SafetensorsWeights.open(file)) {
      return VisionTeacher.open(
          files,
          CRadioV3.model("tiny", vision(layerScale), aligned, files),
          grid,
          Device.CPU,
          dtype);
    }
  }

  /** Grids below, at and above the stored one, odd and even; images smaller, equal and larger. */
  @ParameterizedTest
  @CsvSource({
    "4, 14, false",
    "4, 16, false",
    "3, 30, false",
    "9, 14, false",
    "11, 14, false",
    "1, 9, false",
    "4, 14, true",
    "9, 36, true",
    "11, 20, true"
  })
  void featuresAtAnyResolutionEqualTheFormulas(int grid, int side, boolean aligned)
      throws Exception {
    PublishedTensors t = tensors("radio_model.", "radio_model.model.", 8, true, "grandma");
    Path file = t.write(folder.resolve("model.safetensors"));
    try (var teacher = open(file, true, aligned, grid, DType.FLOAT32)) {
      TeacherOracle.check(
          teacher,
          side,
          (pixels, s) ->
              reference(
                  t, "radio_model.", "radio_model.model.", "grandma", aligned, grid, pixels, s),
          1e-5);
    }
  }

  /** H and g have no LayerScale; the number of summary tokens and registers is the file's. */
  @ParameterizedTest
  @CsvSource({"8, ''", "5, ''", "8, gamma", "6, grandma"})
  void theHubsNamesWithAndWithoutLayerScale(int tokens, String gamma) throws Exception {
    boolean layerScale = !gamma.isEmpty();
    PublishedTensors t = tensors("", "base_model.", tokens, layerScale, gamma);
    Path file = t.write(folder.resolve("model.safetensors"));
    try (var teacher = open(file, layerScale, false, 4, DType.FLOAT32)) {
      TeacherOracle.check(
          teacher,
          14,
          (pixels, side) ->
              reference(t, "", "base_model.", layerScale ? gamma : null, false, 4, pixels, side),
          1e-5);
    }
  }

  @Test
  void inBf16() throws Exception {
    PublishedTensors t = tensors("radio_model.", "radio_model.model.", 8, true, "grandma");
    Path file = t.write(folder.resolve("model.safetensors"));
    try (var teacher = open(file, true, false, 4, DType.BFLOAT16)) {
      TeacherOracle.check(
          teacher,
          14,
          (pixels, s) ->
              reference(t, "radio_model.", "radio_model.model.", "grandma", false, 4, pixels, s),
          TeacherOracle.BF16);
    }
  }

  /** Half-precision files, as the hub's, are read as they are. */
  @Test
  void fromAnF16File() throws Exception {
    PublishedTensors t = tensors("", "base_model.", 8, false, "");
    Path file = t.write(folder.resolve("model.safetensors"), ScalarType.Half);
    try (var teacher = open(file, false, false, 4, DType.FLOAT32)) {
      TeacherOracle.check(
          teacher,
          14,
          (pixels, s) -> reference(t, "", "base_model.", null, false, 4, pixels, s),
          2e-3); // F16 rounds weights by up to 2⁻¹¹
    }
  }

  /**
   * Positions for a square of the longer side, of which the top left is taken; also where there are
   * as many as are stored (3·27 = 9·9).
   */
  @ParameterizedTest
  @CsvSource({"3, 5, false", "6, 2, false", "4, 9, true", "1, 12, false", "3, 27, false"})
  void imagesNeedNotBeSquare(int rows, int columns, boolean aligned) throws Exception {
    PublishedTensors t = tensors("", "base_model.", 8, false, "");
    int longer = Math.max(rows, columns);
    try (PointerScope scope = new PointerScope()) {
      // With blocks of no effect, features are patches and positions.
      for (int i = 0; i < DEPTH; i++) {
        for (String module : List.of("attn.proj", "mlp.fc2")) {
          t.zero("base_model.blocks." + i + "." + module + ".weight");
          t.zero("base_model.blocks." + i + "." + module + ".bias");
        }
      }
      t.zero("base_model.patch_generator.embedder.weight");
      Path file = t.write(folder.resolve("zero.safetensors"));
      double[][] table =
          new ReferenceViT(t.doubles(), HEADS, 1e-6)
              .rows("base_model.patch_generator.pos_embed", WIDTH);
      double[][] square =
          longer == GRID
              ? table
              : ReferenceResampling.rows(
                  table, ReferenceResampling.bilinear(GRID, longer, aligned));
      var expected = new double[rows * columns * WIDTH];
      for (int i = 0; i < expected.length; i++) {
        int patch = i / WIDTH;
        expected[i] = square[patch / columns * longer + patch % columns][i % WIDTH];
      }
      try (VisionEncoder encoder = encoder(file, aligned)) {
        Tensor features = encoder.forward(torch.randn(1, 3, PATCH * rows, PATCH * columns));
        assertArrayEquals(new long[] {1, (long) rows * columns, WIDTH}, features.shape());
        assertTrue(TinyModels.relativeError(TinyModels.doubles(features), expected) < 1e-6);
      }
    }
  }

  private static VisionEncoder encoder(Path file, boolean aligned) throws Exception {
    try (var files = SafetensorsWeights.open(file)) {
      TeacherWeights weights =
          TeacherWeights.of(files, CRadioV3.model("tiny", vision(false), aligned, files));
      return new VisionEncoder(
          weights.config().vision(), weights, false, Device.CPU, DType.FLOAT32);
    }
  }
}
