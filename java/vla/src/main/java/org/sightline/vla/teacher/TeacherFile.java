package org.sightline.vla.teacher;

import com.google.gson.Gson;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.sightline.Device;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.vla.checkpoint.SafetensorsWeights;
import org.sightline.vla.model.MlpKind;
import org.sightline.vla.model.ParameterSpec;
import org.sightline.vla.model.PositionResampling;
import org.sightline.vla.model.RandomWeights;
import org.sightline.vla.model.VisionConfig;
import org.sightline.vla.model.VisionEncoder;
import org.sightline.vla.teacher.TeacherModel.Variant;

/**
 * A teacher and its configuration in one safetensors file, for teachers that are not published.
 *
 * <p>Tensors have the names of timm and of the DINOv2 hub: {@code cls_token}, {@code reg_token},
 * {@code pos_embed}, {@code patch_embed.proj.weight}, {@code blocks.{i}.norm1.weight}, {@code
 * .attn.qkv.weight}, {@code .attn.proj.weight}, {@code .ls1.gamma} (or {@code .ls1.scale_factor}),
 * {@code .mlp.fc1.weight} and so on, {@code norm.weight}. Every tensor the configuration implies
 * must be there; beside them only those a DINOv2 or timm file carries without use are allowed
 * ({@code mask_token}, {@code norm.*}, {@code attn_pool.*}, {@code head.*}).
 *
 * <p>{@code __metadata__} holds the configuration as JSON under {@value #KEY}, all keys required:
 *
 * <pre>
 * {"image_size": 96, "patch_size": 16, "width": 128, "depth": 4, "heads": 4, "mlp_width": 512,
 *  "class_tokens": 1, "register_tokens": 0,
 *  "class_position": true,     pos_embed has a row for the class token
 *  "layer_scale": true, "final_norm": true, "layer_norm_eps": 1e-6,
 *  "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],     of RGB values in [0,1]
 *  "weights": "random, seed 7"}
 * </pre>
 *
 * <p>Blocks are pre-norm with a fused qkv and an erf-GELU MLP. Position embeddings are used as they
 * are, so they must be stored for this image size.
 */
public final class TeacherFile {
  static final String KEY = "sightline.teacher";

  private static final TensorLayout LAYOUT =
      TensorLayout.of(
          "Sightline",
          """
          cls_token                 cls_token
          reg_token                 reg_token
          pos_embed                 pos_embed
          patch_embed.proj          patch_embed.proj
          blocks.*.norm1            blocks.*.norm1
          blocks.*.attn.qkv         blocks.*.attn.qkv
          blocks.*.attn.proj        blocks.*.attn.proj
          blocks.*.ls1.scale_factor blocks.*.ls1.gamma | blocks.*.ls1.scale_factor
          blocks.*.norm2            blocks.*.norm2
          blocks.*.mlp.fc1          blocks.*.mlp.fc1
          blocks.*.mlp.fc2          blocks.*.mlp.fc2
          blocks.*.ls2.scale_factor blocks.*.ls2.gamma | blocks.*.ls2.scale_factor
          norm                      norm
          """,
          "mask_token",
          "norm.",
          "attn_pool.",
          "head.");

  private TeacherFile() {}

  /**
   * Writes a teacher of seeded random weights: the same bytes for the same configuration and seed.
   *
   * <p>It stands in for a pretrained one where there is none. Its features are a fixed random
   * function of the image, not knowledge; {@code config.weights()} must say so.
   */
  public static void writeRandom(Path file, TeacherConfig config, long seed) throws IOException {
    requireCommonShape(config.vision());
    int depth = config.vision().depth();
    var weights = new RandomWeights(seed, depth, depth, Device.CPU);
    try (PointerScope scope = new PointerScope()) {
      var tensors = new LinkedHashMap<String, Tensor>();
      for (ParameterSpec spec : VisionEncoder.parameters(config.vision(), config.finalNorm())) {
        tensors.put(spec.name(), weights.get(spec));
      }
      Safetensors.write(file, tensors, Map.of("format", "pt", KEY, toJson(config)));
    }
  }

  /**
   * The model that the metadata describe.
   *
   * @throws IllegalArgumentException if they have no teacher
   * @throws FormatException naming file and key if it is malformed
   */
  static TeacherModel model(SafetensorsWeights files) throws FormatException {
    String json = files.files().metadata().get(KEY);
    if (json == null) {
      throw new IllegalArgumentException(
          "%s: found no configuration of a teacher in __metadata__, keys %s, expected \"%s\" or a preset, one of %s"
              .formatted(
                  files.files().path(),
                  files.files().metadata().keySet(),
                  KEY,
                  Architectures.presets()));
    }
    TeacherConfig config = config(JsonFields.of(files.files().path(), "__metadata__." + KEY, json));
    return new TeacherModel("the teacher in its metadata", List.of(new Variant(LAYOUT, config)));
  }

  /** The file has no keys for what else a transformer may have. */
  private static void requireCommonShape(VisionConfig vision) {
    if (vision.mlp() != MlpKind.GELU
        || !vision.patchBias()
        || vision.resampling() != PositionResampling.NONE) {
      throw new IllegalArgumentException(
          "config must have mlp GELU, patchBias true and resampling NONE, found %s, %b and %s"
              .formatted(vision.mlp(), vision.patchBias(), vision.resampling()));
    }
  }

  private static String toJson(TeacherConfig config) {
    VisionConfig vision = config.vision();
    var json = new LinkedHashMap<String, Object>();
    json.put("image_size", vision.imageSize());
    json.put("patch_size", vision.patchSize());
    json.put("width", vision.width());
    json.put("depth", vision.depth());
    json.put("heads", vision.heads());
    json.put("mlp_width", vision.mlpWidth());
    json.put("class_tokens", vision.classTokens());
    json.put("register_tokens", vision.registerTokens());
    json.put("class_position", vision.classPosition());
    json.put("layer_scale", vision.layerScale());
    json.put("final_norm", config.finalNorm());
    json.put("layer_norm_eps", vision.layerNormEps());
    json.put("mean", config.mean());
    json.put("std", config.std());
    json.put("weights", config.weights());
    return new Gson().toJson(json);
  }

  private static TeacherConfig config(JsonFields json) throws FormatException {
    try {
      var vision =
          VisionConfig.vit(
                  json.integer("image_size"),
                  json.integer("patch_size"),
                  json.integer("width"),
                  json.integer("depth"),
                  json.integer("heads"),
                  json.integer("mlp_width"))
              .with()
              .classTokens(json.integer("class_tokens"))
              .registerTokens(json.integer("register_tokens"))
              .classPosition(json.bool("class_position"))
              .layerScale(json.bool("layer_scale"))
              .layerNormEps(json.number("layer_norm_eps"))
              .build();
      return new TeacherConfig(
          vision,
          json.bool("final_norm"),
          json.numbers("mean"),
          json.numbers("std"),
          json.text("weights"));
    } catch (IllegalArgumentException e) {
      throw new FormatException(json.file(), "__metadata__." + KEY, e.getMessage());
    }
  }
}
