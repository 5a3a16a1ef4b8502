package org.sightline.vla.teacher;

import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;
import org.sightline.vla.checkpoint.SafetensorsWeights;
import org.sightline.vla.model.PositionResampling;
import org.sightline.vla.model.VisionConfig;
import org.sightline.vla.teacher.TeacherModel.Variant;

/**
 * Theia (bdaiinstitute/theia): a DeiT, distilled from several vision models.
 *
 * <pre>
 * x = [class token, patches(image) Wᵀ + b] + positions      16×16 pixels; 14×14 positions,
 *                                                           resampled to the image's grid
 * features = norm(blocks(x))[:, 1:]                         the translators are dropped
 * </pre>
 *
 * <p>The image is the policy's own copy, normalised with ImageNet's constants rounded to bf16 and
 * resized to 256 pixels: so the paper's code has it, where Theia's processor would rescale and
 * normalise by itself.
 */
final class Theia implements Architecture {
  private static final Pattern PRESET = Pattern.compile("theia-(tiny|small|base)-patch16-224");
  private static final Pattern BACKBONE =
      Pattern.compile("facebook/deit-(tiny|small|base)-patch16-224");

  private static final TensorLayout LAYOUT =
      TensorLayout.of(
          "Theia over Hugging Face's ViTModel",
          """
          cls_token          backbone.model.embeddings.cls_token
          pos_embed          backbone.model.embeddings.position_embeddings
          patch_embed.proj   backbone.model.embeddings.patch_embeddings.projection
          blocks.*.norm1     backbone.model.encoder.layer.*.layernorm_before
          blocks.*.attn.qkv  backbone.model.encoder.layer.*.attention.attention.{query,key,value}
          blocks.*.attn.proj backbone.model.encoder.layer.*.attention.output.dense
          blocks.*.norm2     backbone.model.encoder.layer.*.layernorm_after
          blocks.*.mlp.fc1   backbone.model.encoder.layer.*.intermediate.dense
          blocks.*.mlp.fc2   backbone.model.encoder.layer.*.output.dense
          norm               backbone.model.layernorm
          """,
          "backbone.model.pooler.",
          "translator.");

  @Override
  public String family() {
    return "Theia (backbone facebook/deit-*)";
  }

  @Override
  public List<String> presets() {
    return Stream.of("tiny", "small", "base").map("theia-%s-patch16-224"::formatted).toList();
  }

  @Override
  public TeacherModel preset(String name, SafetensorsWeights files) {
    Matcher size = PRESET.matcher(name);
    if (!size.matches()) {
      throw new IllegalArgumentException("not the name of a Theia: " + name);
    }
    return ofSize(name, size.group(1));
  }

  private static TeacherModel ofSize(String name, String size) {
    return switch (size) {
      case "tiny" -> model(name, vision(224, 16, 192, 12, 3, 768));
      case "small" -> model(name, vision(224, 16, 384, 12, 6, 1536));
      default -> model(name, vision(224, 16, 768, 12, 12, 3072));
    };
  }

  @Override
  public boolean describes(JsonFields config) throws FormatException {
    return config.has("translator_type") || config.has("target_feature_sizes");
  }

  @Override
  public TeacherModel of(JsonFields config, SafetensorsWeights files) throws FormatException {
    String backbone = config.text("backbone");
    Matcher size = BACKBONE.matcher(backbone);
    if (!size.matches()) {
      throw config.wrong("backbone", "facebook/deit-{tiny,small,base}-patch16-224");
    }
    config.require("num_reg_tokens", config.integer("num_reg_tokens", 0), 0);
    return ofSize(config.text("_name_or_path", "Theia over " + backbone), size.group(1));
  }

  static VisionConfig vision(int image, int patch, int width, int depth, int heads, int mlpWidth) {
    return VisionConfig.vit(image, patch, width, depth, heads, mlpWidth)
        .with()
        .classTokens(1)
        .classPosition(true)
        .layerNormEps(1e-12)
        .build();
  }

  /** Of any shape. */
  static TeacherModel model(String name, VisionConfig vision) {
    VisionConfig resampled = vision.withPositions(vision.grid(), PositionResampling.BICUBIC_OFFSET);
    return new TeacherModel(
        name, List.of(new Variant(LAYOUT, TeacherConfig.ofPolicyPixels(resampled, name))));
  }
}
