package org.sightline.vla.teacher;

import static org.sightline.vla.model.ReferenceMath.add;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.vla.checkpoint.SafetensorsWeights;
import org.sightline.vla.model.MlpKind;
import org.sightline.vla.model.ReferenceMath;
import org.sightline.vla.model.VisionConfig;

/** DINOv2 against fp64 loops, under the names of its hub, of timm and of Hugging Face. */
class DinoV2Test {
  private static final int WIDTH = 24;
  private static final int HEADS = 3;
  private static final int DEPTH = 2;
  private static final int PATCH = 3;
  private static final int GRID = 7;

  @TempDir private Path folder;

  /** The three libraries' names for the same tensors. */
  private enum Library {
    HUB("cls_token", "register_tokens", "pos_embed", "patch_embed.proj", "norm"),
    TIMM("cls_token", "reg_token", "pos_embed", "patch_embed.proj", "norm"),
    HUGGING_FACE(
        "embeddings.cls_token",
        "embeddings.register_tokens",
        "embeddings.position_embeddings",
        "embeddings.patch_embeddings.projection",
        "layernorm");

    final String classToken;
    final String registers;
    final String positions;
    final String patches;
    final String norm;

    Library(String classToken, String registers, String positions, String patches, String norm) {
      this.classToken = classToken;
      this.registers = registers;
      this.positions = positions;
      this.patches = patches;
      this.norm = norm;
    }

    String block(int i) {
      return (this == HUGGING_FACE ? "encoder.layer." : "blocks.") + i + ".";
    }

    String layerScale(int branch) {
      return this == HUGGING_FACE ? "layer_scale" + branch + ".lambda1" : "ls" + branch + ".gamma";
    }

    String w12() {
      return this == HUB ? "mlp.w12" : this == TIMM ? "mlp.fc1" : "mlp.weights_in";
    }

    String w3() {
      return this == HUB ? "mlp.w3" : this == TIMM ? "mlp.fc2" : "mlp.weights_out";
    }

    String out() {
      return this == HUGGING_FACE ? "attention.output.dense" : "attn.proj";
    }

    /** timm adds the class token's position to the token and keeps none, if there are registers. */
    boolean classPosition(int registerCount) {
      return this != TIMM || registerCount == 0;
    }
  }

  private static PublishedTensors tensors(Library names, int registers, boolean gated, int hidden) {
    var t = new PublishedTensors(3).token(names.classToken, 1, 1, WIDTH);
    t.token(names == Library.HUGGING_FACE ? "embeddings.mask_token" : "mask_token", 1, WIDTH);
    if (registers > 0) {
      t.token(names.registers, 1, registers, WIDTH);
    }
    int first = names.classPosition(registers) ? 1 : 0;
    t.token(names.positions, 1, first + GRID * GRID, WIDTH)
        .linear(names.patches, WIDTH, 3, PATCH, PATCH)
        .norm(names.norm, WIDTH);
    for (int i = 0; i < DEPTH; i++) {
      String block = names.block(i);
      t.norm(block + "norm1", WIDTH).norm(block + "norm2", WIDTH);
      if (names == Library.HUGGING_FACE) {
        for (String head : List.of("query", "key", "value")) {
          t.linear(block + "attention.attention." + head, WIDTH, WIDTH);
        }
      } else {
        t.linear(block + "attn.qkv", 3 * WIDTH, WIDTH);
      }
      t.linear(block + names.out(), WIDTH, WIDTH)
          .scale(block + names.layerScale(1), WIDTH)
          .scale(block + names.layerScale(2), WIDTH);
      if (gated) {
        t.linear(block + names.w12(), 2 * hidden, WIDTH).linear(block + names.w3(), WIDTH, hidden);
      } else {
        t.linear(block + "mlp.fc1", hidden, WIDTH).linear(block + "mlp.fc2", WIDTH, hidden);
      }
    }
    return t;
  }

  private static double[][] reference(
      PublishedTensors tensors,
      Library names,
      int registers,
      boolean gated,
      int grid,
      double[] pixels,
      int side) {
    var vit = new ReferenceViT(tensors.doubles(), HEADS, 1e-6);
    int size = grid * PATCH;
    double[] image = TeacherOracle.resized(pixels, side, size);
    double[][] patches =
        ReferenceMath.linear(
            ReferenceViT.patches(image, size, PATCH),
            vit.get(names.patches + ".weight"),
            vit.get(names.patches + ".bias"));
    double[][] classToken = vit.rows(names.classToken, WIDTH);
    double[][] positions = vit.rows(names.positions, WIDTH);
    if (names.classPosition(registers)) {
      classToken = add(classToken, Arrays.copyOfRange(positions, 0, 1), null);
      positions = Arrays.copyOfRange(positions, 1, positions.length);
    }
    if (grid != GRID) {
      positions =
          ReferenceResampling.rows(positions, ReferenceResampling.bicubicAntialiased(GRID, grid));
    }
    double[][] registerTokens = registers == 0 ? new double[0][] : vit.rows(names.registers, WIDTH);
    double[][] x = ReferenceViT.join(classToken, registerTokens, add(patches, positions, null));
    for (int i = 0; i < DEPTH; i++) {
      String block = names.block(i);
      double[][] h = vit.norm(x, block + "norm1");
      double[][] attended;
      if (names == Library.HUGGING_FACE) {
        String attention = block + "attention.attention.";
        attended =
            vit.attend(
                h,
                attention + "query",
                attention + "key",
                attention + "value",
                block + names.out());
      } else {
        attended = vit.attend(h, block + "attn.qkv", block + names.out());
      }
      x = vit.residual(x, attended, block + names.layerScale(1));
      h = vit.norm(x, block + "norm2");
      double[][] mlp =
          gated
              ? vit.gated(h, block + names.w12(), block + names.w3())
              : vit.mlp(h, block + "mlp.fc1", block + "mlp.fc2", ReferenceMath::gelu);
      x = vit.residual(x, mlp, block + names.layerScale(2));
    }
    return Arrays.copyOfRange(vit.norm(x, names.norm), 1 + registers, x.length);
  }

  private static VisionTeacher open(
      Path file, int registers, boolean gated, int hidden, int grid, DType dtype) throws Exception {
    VisionConfig vision =
        DinoV2.vision(GRID * PATCH, PATCH, WIDTH, DEPTH, HEADS, hidden, registers);
    TeacherModel model = DinoV2.model("tiny", gated ? vision.withMlp(MlpKind.SWIGLU) : vision);
    try (var files = SafetensorsWeights.open(file)) {
      return VisionTeacher.open(files, model, grid, Device.CPU, dtype);
    }
  }

  /** Positions resampled to fewer and more, odd and even, and used as they are at 7. */
  @ParameterizedTest
  @CsvSource({
    "HUB, 0, false, 3, 9",
    "HUB, 0, false, 7, 21",
    "HUB, 4, false, 5, 20",
    "HUB, 0, true, 4, 12",
    "TIMM, 0, false, 4, 14",
    "TIMM, 4, false, 3, 9",
    "TIMM, 4, true, 7, 20",
    "TIMM, 0, true, 9, 12",
    "HUGGING_FACE, 0, false, 4, 12",
    "HUGGING_FACE, 4, false, 9, 13",
    "HUGGING_FACE, 0, true, 3, 9",
    "HUGGING_FACE, 3, true, 1, 7"
  })
  void featuresEqualTheFormulas(Library names, int registers, boolean gated, int grid, int side)
      throws Exception {
    int hidden = gated ? 20 : 40;
    PublishedTensors t = tensors(names, registers, gated, hidden);
    Path file = t.write(folder.resolve("model.safetensors"));
    try (var teacher = open(file, registers, gated, hidden, grid, DType.FLOAT32)) {
      TeacherOracle.check(
          teacher,
          side,
          (pixels, s) -> reference(t, names, registers, gated, grid, pixels, s),
          1e-5);
    }
  }

  @ParameterizedTest
  @CsvSource({"0, false", "4, true"})
  void inBf16(int registers, boolean gated) throws Exception {
    PublishedTensors t = tensors(Library.HUB, registers, gated, 40);
    Path file = t.write(folder.resolve("model.safetensors"));
    try (var teacher = open(file, registers, gated, 40, 4, DType.BFLOAT16)) {
      TeacherOracle.check(
          teacher,
          12,
          (pixels, s) -> reference(t, Library.HUB, registers, gated, 4, pixels, s),
          TeacherOracle.BF16);
    }
  }

  /** facebook/dinov2-*: the SwiGLU's width is 2/3 of the MLP's, rounded up to a multiple of 8. */
  @ParameterizedTest
  @CsvSource({
    "dinov2, 0, false, 2, 48",
    "dinov2, 0, true, 2, 32",
    "dinov2_with_registers, 4, false, 2.2, 52",
    "dinov2_with_registers, 2, true, 2.2, 40"
  })
  void aHuggingFaceFolderSaysWhatItIs(
      String type, int registers, boolean gated, double mlpRatio, int hidden) throws Exception {
    PublishedTensors t = tensors(Library.HUGGING_FACE, registers, gated, hidden);
    t.write(folder.resolve("model.safetensors"));
    Files.writeString(
        folder.resolve("config.json"),
        """
        {"model_type": "%s", "architectures": ["Dinov2Model"], "hidden_size": %d,
         "num_hidden_layers": %d, "num_attention_heads": %d, "mlp_ratio": %s, "image_size": %d,
         "patch_size": %d, "use_swiglu_ffn": %b, "num_register_tokens": %d, "hidden_act": "gelu",
         "layer_norm_eps": 1e-06, "layerscale_value": 1.0, "qkv_bias": true}
        """
            .formatted(type, WIDTH, DEPTH, HEADS, mlpRatio, GRID * PATCH, PATCH, gated, registers));
    try (var teacher = VisionTeacher.open(folder, 4, DType.FLOAT32)) {
      TeacherOracle.check(
          teacher,
          12,
          (pixels, s) -> reference(t, Library.HUGGING_FACE, registers, gated, 4, pixels, s),
          1e-5);
    }
  }

  /** What a classifier's checkpoint has around the encoder changes nothing. */
  @Test
  void aFileOfMoreThanTheEncoder() throws Exception {
    PublishedTensors t = tensors(Library.TIMM, 0, false, 40);
    t.linear("head.fc", 7, WIDTH);
    Path file = t.write(folder.resolve("model.safetensors"));
    try (var teacher = open(file, 0, false, 40, 4, DType.FLOAT32)) {
      TeacherOracle.check(
          teacher, 12, (pixels, s) -> reference(t, Library.TIMM, 0, false, 4, pixels, s), 1e-5);
    }
  }
}
