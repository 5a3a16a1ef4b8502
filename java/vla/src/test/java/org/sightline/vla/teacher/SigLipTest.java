package org.sightline.vla.teacher;

import static org.sightline.vla.model.ReferenceMath.add;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.vla.checkpoint.SafetensorsWeights;
import org.sightline.vla.model.ReferenceMath;

/** SigLIP against fp64 loops, under the names of Hugging Face, timm and open_clip. */
class SigLipTest {
  private static final int WIDTH = 24;
  private static final int HEADS = 3;
  private static final int DEPTH = 2;
  private static final int PATCH = 3;
  private static final int GRID = 5;
  private static final int HIDDEN = 43;

  @TempDir private Path folder;

  private static PublishedTensors huggingFace() {
    String model = "vision_model.";
    var t =
        new PublishedTensors(5)
            .token(model + "embeddings.position_embedding.weight", GRID * GRID, WIDTH)
            .linear(model + "embeddings.patch_embedding", WIDTH, 3, PATCH, PATCH)
            .norm(model + "post_layernorm", WIDTH);
    for (int i = 0; i < DEPTH; i++) {
      String layer = model + "encoder.layers." + i + ".";
      for (String name : List.of("q_proj", "k_proj", "v_proj", "out_proj")) {
        t.linear(layer + "self_attn." + name, WIDTH, WIDTH);
      }
      t.norm(layer + "layer_norm1", WIDTH)
          .norm(layer + "layer_norm2", WIDTH)
          .linear(layer + "mlp.fc1", HIDDEN, WIDTH)
          .linear(layer + "mlp.fc2", WIDTH, HIDDEN);
    }
    // The pooling head and the text half.
    return t.token(model + "head.probe", 1, 1, WIDTH)
        .matrix(model + "head.attention.in_proj_weight", 3 * WIDTH, WIDTH)
        .norm(model + "head.layernorm", WIDTH)
        .linear("text_model.head", WIDTH, WIDTH)
        .token("logit_scale", 1)
        .token("logit_bias", 1);
  }

  private static PublishedTensors timm(String trunk) {
    var t =
        new PublishedTensors(6)
            .token(trunk + "pos_embed", 1, GRID * GRID, WIDTH)
            .linear(trunk + "patch_embed.proj", WIDTH, 3, PATCH, PATCH)
            .norm(trunk + "norm", WIDTH)
            .token(trunk + "attn_pool.latent", 1, 1, WIDTH)
            .linear(trunk + "attn_pool.q", WIDTH, WIDTH);
    for (int i = 0; i < DEPTH; i++) {
      String block = trunk + "blocks." + i + ".";
      t.norm(block + "norm1", WIDTH)
          .linear(block + "attn.qkv", 3 * WIDTH, WIDTH)
          .linear(block + "attn.proj", WIDTH, WIDTH)
          .norm(block + "norm2", WIDTH)
          .linear(block + "mlp.fc1", HIDDEN, WIDTH)
          .linear(block + "mlp.fc2", WIDTH, HIDDEN);
    }
    if (!trunk.isEmpty()) {
      t.matrix("text.token_embedding.weight", 9, WIDTH).token("logit_scale", 1);
    }
    return t;
  }

  /** Image in [-1,1], as patches with positions. */
  private static double[][] embedded(
      ReferenceViT vit, String patches, String positions, double[][] weights, double[] pixels) {
    int grid = weights.length;
    int size = grid * PATCH;
    int side = (int) Math.round(Math.sqrt(pixels.length / 3.0));
    double[] image = TeacherOracle.toUnitRange(TeacherOracle.resized(pixels, side, size));
    for (int i = 0; i < image.length; i++) {
      image[i] = (image[i] - 0.5) / 0.5;
    }
    double[][] x =
        ReferenceMath.linear(
            ReferenceViT.patches(image, size, PATCH),
            vit.get(patches + ".weight"),
            vit.get(patches + ".bias"));
    double[][] rows = vit.rows(positions, WIDTH);
    return add(x, grid == GRID ? rows : ReferenceResampling.rows(rows, weights), null);
  }

  private static double[][] referenceOfHuggingFace(
      PublishedTensors tensors, int grid, double[] pixels, DoubleUnaryOperator gelu) {
    var vit = new ReferenceViT(tensors.doubles(), HEADS, 1e-6);
    String model = "vision_model.";
    double[][] x =
        embedded(
            vit,
            model + "embeddings.patch_embedding",
            model + "embeddings.position_embedding.weight",
            ReferenceResampling.bicubic(GRID, grid, (double) grid / GRID),
            pixels);
    for (int i = 0; i < DEPTH; i++) {
      String layer = model + "encoder.layers." + i + ".";
      double[][] h = vit.norm(x, layer + "layer_norm1");
      x =
          vit.residual(
              x,
              vit.attend(
                  h,
                  layer + "self_attn.q_proj",
                  layer + "self_attn.k_proj",
                  layer + "self_attn.v_proj",
                  layer + "self_attn.out_proj"),
              null);
      h = vit.norm(x, layer + "layer_norm2");
      x = vit.residual(x, vit.mlp(h, layer + "mlp.fc1", layer + "mlp.fc2", gelu), null);
    }
    return vit.norm(x, model + "post_layernorm");
  }

  private static double[][] referenceOfTimm(
      PublishedTensors tensors, String trunk, int grid, double[] pixels) {
    var vit = new ReferenceViT(tensors.doubles(), HEADS, 1e-6);
    double[][] x =
        embedded(
            vit,
            trunk + "patch_embed.proj",
            trunk + "pos_embed",
            ReferenceResampling.bicubicAntialiased(GRID, grid),
            pixels);
    for (int i = 0; i < DEPTH; i++) {
      String block = trunk + "blocks." + i + ".";
      double[][] h = vit.norm(x, block + "norm1");
      x = vit.residual(x, vit.attend(h, block + "attn.qkv", block + "attn.proj"), null);
      h = vit.norm(x, block + "norm2");
      x =
          vit.residual(
              x, vit.mlp(h, block + "mlp.fc1", block + "mlp.fc2", ReferenceMath::gelu), null);
    }
    return vit.norm(x, trunk + "norm");
  }

  private static VisionTeacher open(Path file, int grid, DType dtype) throws Exception {
    var vision = SigLip.vision(GRID * PATCH, PATCH, WIDTH, DEPTH, HEADS, HIDDEN, 1e-6);
    try (var files = SafetensorsWeights.open(file)) {
      return VisionTeacher.open(files, SigLip.model("tiny", vision), grid, Device.CPU, dtype);
    }
  }

  @ParameterizedTest
  @CsvSource({"5, 15", "5, 14", "3, 9", "4, 20", "8, 14"})
  void huggingFacesTensorsWithItsGelu(int grid, int side) throws Exception {
    PublishedTensors t = huggingFace();
    Path file = t.write(folder.resolve("model.safetensors"));
    try (var teacher = open(file, grid, DType.FLOAT32)) {
      TeacherOracle.check(
          teacher,
          side,
          (pixels, s) -> referenceOfHuggingFace(t, grid, pixels, ReferenceViT::tanhGelu),
          1e-5);
    }
  }

  @ParameterizedTest
  @CsvSource({"'', 5, 15", "'', 3, 14", "visual.trunk., 4, 12", "visual.trunk., 8, 20"})
  void timmsTensorsWithTimmsGelu(String trunk, int grid, int side) throws Exception {
    PublishedTensors t = timm(trunk);
    Path file = t.write(folder.resolve("model.safetensors"));
    try (var teacher = open(file, grid, DType.FLOAT32)) {
      TeacherOracle.check(
          teacher, side, (pixels, s) -> referenceOfTimm(t, trunk, grid, pixels), 1e-5);
    }
  }

  @Test
  void inBf16() throws Exception {
    PublishedTensors t = huggingFace();
    Path file = t.write(folder.resolve("model.safetensors"));
    try (var teacher = open(file, 4, DType.BFLOAT16)) {
      TeacherOracle.check(
          teacher,
          12,
          (pixels, s) -> referenceOfHuggingFace(t, 4, pixels, ReferenceViT::tanhGelu),
          TeacherOracle.BF16);
    }
  }

  /** google/siglip-*: the whole model, its image half in vision_config. */
  @ParameterizedTest
  @CsvSource({"siglip, true", "siglip_vision_model, false"})
  void aHuggingFaceFolderSaysWhatItIs(String type, boolean nested) throws Exception {
    PublishedTensors t = huggingFace();
    t.write(folder.resolve("model.safetensors"));
    // 16 pixels: what is left over of 5 patches of 3 is not looked at.
    String shape =
        """
        "hidden_size": %d, "image_size": %d, "intermediate_size": %d, "num_attention_heads": %d,
        "num_hidden_layers": %d, "patch_size": %d
        """
            .formatted(WIDTH, GRID * PATCH + 1, HIDDEN, HEADS, DEPTH, PATCH);
    Files.writeString(
        folder.resolve("config.json"),
        nested
            ? "{\"model_type\": \"%s\", \"vision_config\": {%s}}".formatted(type, shape)
            : "{\"model_type\": \"%s\", %s}".formatted(type, shape));
    try (var teacher = VisionTeacher.open(folder, 4, DType.FLOAT32)) {
      TeacherOracle.check(
          teacher,
          12,
          (pixels, s) -> referenceOfHuggingFace(t, 4, pixels, ReferenceViT::tanhGelu),
          1e-5);
    }
  }
}
