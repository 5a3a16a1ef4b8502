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
import org.sightline.vla.model.ReferenceMath;

/** Theia against fp64 loops, under the names of its Hugging Face files. */
class TheiaTest {
  private static final String MODEL = "backbone.model.";

  @TempDir private Path folder;

  private record Shape(int width, int depth, int heads, int patch, int grid) {}

  private static final Shape TINY = new Shape(24, 2, 3, 4, 7);

  private static PublishedTensors tensors(Shape shape) {
    int width = shape.width();
    var t =
        new PublishedTensors(9)
            .token(MODEL + "embeddings.cls_token", 1, 1, width)
            .token(
                MODEL + "embeddings.position_embeddings",
                1,
                1 + (long) shape.grid() * shape.grid(),
                width)
            .linear(
                MODEL + "embeddings.patch_embeddings.projection",
                width,
                3,
                shape.patch(),
                shape.patch())
            .norm(MODEL + "layernorm", width)
            .linear("translator.translator_heads.dinov2.0", 5, width);
    for (int i = 0; i < shape.depth(); i++) {
      String layer = MODEL + "encoder.layer." + i + ".";
      for (String name : List.of("query", "key", "value")) {
        t.linear(layer + "attention.attention." + name, width, width);
      }
      t.norm(layer + "layernorm_before", width)
          .norm(layer + "layernorm_after", width)
          .linear(layer + "attention.output.dense", width, width)
          .linear(layer + "intermediate.dense", 4L * width, width)
          .linear(layer + "output.dense", width, 4L * width);
    }
    return t;
  }

  private static double[][] reference(
      PublishedTensors tensors, Shape shape, int grid, double[] pixels, int side) {
    var vit = new ReferenceViT(tensors.doubles(), shape.heads(), 1e-12);
    int size = grid * shape.patch();
    double[][] patches =
        ReferenceMath.linear(
            ReferenceViT.patches(TeacherOracle.resized(pixels, side, size), size, shape.patch()),
            vit.get(MODEL + "embeddings.patch_embeddings.projection.weight"),
            vit.get(MODEL + "embeddings.patch_embeddings.projection.bias"));
    double[][] positions = vit.rows(MODEL + "embeddings.position_embeddings", shape.width());
    double[][] first = Arrays.copyOfRange(positions, 0, 1);
    double[][] others = Arrays.copyOfRange(positions, 1, positions.length);
    if (grid != shape.grid()) {
      double scale = (grid + 0.1) / shape.grid();
      others =
          ReferenceResampling.rows(others, ReferenceResampling.bicubic(shape.grid(), grid, scale));
    }
    double[][] x =
        ReferenceViT.join(
            add(vit.rows(MODEL + "embeddings.cls_token", shape.width()), first, null),
            add(patches, others, null));
    for (int i = 0; i < shape.depth(); i++) {
      String layer = MODEL + "encoder.layer." + i + ".";
      double[][] h = vit.norm(x, layer + "layernorm_before");
      x =
          vit.residual(
              x,
              vit.attend(
                  h,
                  layer + "attention.attention.query",
                  layer + "attention.attention.key",
                  layer + "attention.attention.value",
                  layer + "attention.output.dense"),
              null);
      h = vit.norm(x, layer + "layernorm_after");
      x =
          vit.residual(
              x,
              vit.mlp(h, layer + "intermediate.dense", layer + "output.dense", ReferenceMath::gelu),
              null);
    }
    return Arrays.copyOfRange(vit.norm(x, MODEL + "layernorm"), 1, x.length);
  }

  private static VisionTeacher open(Path file, int grid, DType dtype) throws Exception {
    var vision =
        Theia.vision(
            TINY.grid() * TINY.patch(),
            TINY.patch(),
            TINY.width(),
            TINY.depth(),
            TINY.heads(),
            4 * TINY.width());
    try (var files = SafetensorsWeights.open(file)) {
      return VisionTeacher.open(files, Theia.model("tiny", vision), grid, Device.CPU, dtype);
    }
  }

  /** 7 to 8 is the paper's 14 to 16 in small. */
  @ParameterizedTest
  @CsvSource({"8, 28", "7, 28", "7, 20", "3, 14", "5, 20", "13, 28"})
  void featuresEqualTheFormulas(int grid, int side) throws Exception {
    PublishedTensors t = tensors(TINY);
    Path file = t.write(folder.resolve("model.safetensors"));
    try (var teacher = open(file, grid, DType.FLOAT32)) {
      TeacherOracle.check(teacher, side, (pixels, s) -> reference(t, TINY, grid, pixels, s), 1e-5);
    }
  }

  @Test
  void inBf16() throws Exception {
    PublishedTensors t = tensors(TINY);
    Path file = t.write(folder.resolve("model.safetensors"));
    try (var teacher = open(file, 8, DType.BFLOAT16)) {
      TeacherOracle.check(
          teacher, 28, (pixels, s) -> reference(t, TINY, 8, pixels, s), TeacherOracle.BF16);
    }
  }

  /** theaiinstitute/theia-tiny-patch16-224-*, in its real size, on 3×3 patches. */
  @Test
  void aHuggingFaceFolderSaysWhatItIs() throws Exception {
    var shape = new Shape(192, 12, 3, 16, 14);
    PublishedTensors t = tensors(shape);
    t.write(folder.resolve("model.safetensors"));
    Files.writeString(
        folder.resolve("config.json"),
        """
        {"architectures": ["TheiaModel"], "backbone": "facebook/deit-tiny-patch16-224",
         "feature_neck": false, "feature_reduce_method": null, "forward_neck": false,
         "image_size": 224, "num_reg_tokens": 0, "pretrained": false,
         "target_feature_sizes": {"facebook/dinov2-large": [1024, 16, 16]},
         "translator_hidden_size_factor": 1.0, "translator_type": "lconv"}
        """);
    try (var teacher = VisionTeacher.open(folder, 3, DType.FLOAT32)) {
      TeacherOracle.check(teacher, 42, (pixels, s) -> reference(t, shape, 3, pixels, s), 2e-5);
    }
  }
}
