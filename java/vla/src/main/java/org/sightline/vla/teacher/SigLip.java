package org.sightline.vla.teacher;

import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;
import org.sightline.vla.checkpoint.SafetensorsWeights;
import org.sightline.vla.model.MlpKind;
import org.sightline.vla.model.PositionResampling;
import org.sightline.vla.model.VisionConfig;
import org.sightline.vla.teacher.TeacherModel.Variant;

/**
 * The image half of SigLIP:
 *
 * <pre>
 * x = patches(image) Wᵀ + b + positions  image in [-1,1]; no class token
 * features = norm(blocks(x))             the pooling head is dropped
 * </pre>
 *
 * <p>Each library is followed in what it does on its own: with Hugging Face's tensors GELU is the
 * tanh approximation and positions are resampled without antialias, with timm's GELU is exact and
 * they are resampled with it. The paper reports a SigLIP teacher but its code has none, so the
 * recipe — all tokens after the final norm — is ours.
 */
final class SigLip implements Architecture {
  private static final Pattern PRESET =
      Pattern.compile("siglip-(base|large|so400m)-patch([1-9]\\d?)-(\\d{1,4})");
  private static final Pattern TIMM =
      Pattern.compile("vit_(base|large|so400m)_patch([1-9]\\d?)_siglip(?:_gap)?_(\\d{1,4})");

  private static final TensorLayout HUGGING_FACE = huggingFace("vision_model.");

  /** Of the vision half alone as transformers 5 saves it. */
  private static final TensorLayout HUGGING_FACE_BARE = huggingFace("");

  private static TensorLayout huggingFace(String prefix) {
    return TensorLayout.of(
        "Hugging Face's SiglipVisionModel",
        """
        pos_embed          PREFIXembeddings.position_embedding.weight matrix
        patch_embed.proj   PREFIXembeddings.patch_embedding
        blocks.*.norm1     PREFIXencoder.layers.*.layer_norm1
        blocks.*.attn.qkv  PREFIXencoder.layers.*.self_attn.{q,k,v}_proj
        blocks.*.attn.proj PREFIXencoder.layers.*.self_attn.out_proj
        blocks.*.norm2     PREFIXencoder.layers.*.layer_norm2
        blocks.*.mlp.fc1   PREFIXencoder.layers.*.mlp.fc1
        blocks.*.mlp.fc2   PREFIXencoder.layers.*.mlp.fc2
        norm               PREFIXpost_layernorm
        """
            .replace("PREFIX", prefix),
        prefix + "head.",
        prefix + "embeddings.position_ids",
        "text_model.",
        "logit_scale",
        "logit_bias");
  }

  private static final TensorLayout TIMM_ALONE = timm("timm", "");
  private static final TensorLayout OPEN_CLIP = timm("open_clip", "visual.trunk.");

  private static TensorLayout timm(String name, String prefix) {
    return TensorLayout.of(
        name,
        """
        pos_embed          PREFIXpos_embed
        patch_embed.proj   PREFIXpatch_embed.proj
        blocks.*.norm1     PREFIXblocks.*.norm1
        blocks.*.attn.qkv  PREFIXblocks.*.attn.qkv
        blocks.*.attn.proj PREFIXblocks.*.attn.proj
        blocks.*.norm2     PREFIXblocks.*.norm2
        blocks.*.mlp.fc1   PREFIXblocks.*.mlp.fc1
        blocks.*.mlp.fc2   PREFIXblocks.*.mlp.fc2
        norm               PREFIXnorm
        """
            .replace("PREFIX", prefix),
        prefix + "attn_pool.",
        prefix + "head.",
        "text.",
        "logit_scale",
        "logit_bias");
  }

  @Override
  public String family() {
    return "SigLIP (model_type siglip, siglip_vision_model; timm's vit_*_siglip_*)";
  }

  @Override
  public List<String> presets() {
    return Stream.of(
            "base-patch16-224",
            "base-patch16-256",
            "base-patch16-384",
            "base-patch16-512",
            "large-patch16-256",
            "large-patch16-384",
            "so400m-patch14-224",
            "so400m-patch14-384")
        .map(name -> "siglip-" + name)
        .toList();
  }

  @Override
  public TeacherModel preset(String name, SafetensorsWeights files) {
    return of(name, PRESET.matcher(name));
  }

  private static TeacherModel of(String name, Matcher parts) {
    if (!parts.matches()) {
      throw new IllegalArgumentException("not the name of a SigLIP: " + name);
    }
    int patch = Integer.parseInt(parts.group(2));
    // What is left over of 384 pixels in patches of 14 is not looked at.
    int image = Integer.parseInt(parts.group(3)) / patch * patch;
    return switch (parts.group(1)) {
      case "base" -> model(name, vision(image, patch, 768, 12, 12, 3072, 1e-6));
      case "large" -> model(name, vision(image, patch, 1024, 24, 16, 4096, 1e-6));
      default -> model(name, vision(image, patch, 1152, 27, 16, 4304, 1e-6));
    };
  }

  @Override
  public boolean describes(JsonFields config) throws FormatException {
    return config.text("model_type", "").matches("siglip(_vision_model)?")
        || config.text("architecture", "").matches("vit_.*_siglip.*");
  }

  @Override
  public TeacherModel of(JsonFields config, SafetensorsWeights files) throws FormatException {
    if (config.has("architecture")) {
      String architecture = config.text("architecture");
      Matcher parts = TIMM.matcher(architecture);
      if (!parts.matches()) {
        throw config.wrong("architecture", "vit_{base,large,so400m}_patch<P>_siglip_<SIZE>");
      }
      return of(architecture, parts);
    }
    JsonFields vision = config.has("vision_config") ? config.object("vision_config") : config;
    vision.require(
        "hidden_act", vision.text("hidden_act", "gelu_pytorch_tanh"), "gelu_pytorch_tanh");
    int patch = vision.positive("patch_size", 16);
    return model(
        config.text("_name_or_path", "SigLIP"),
        vision(
            vision.integer("image_size", 224) / patch * patch,
            patch,
            vision.integer("hidden_size", 768),
            vision.integer("num_hidden_layers", 12),
            vision.integer("num_attention_heads", 12),
            vision.integer("intermediate_size", 3072),
            vision.number("layer_norm_eps", 1e-6)));
  }

  static VisionConfig vision(
      int image, int patch, int width, int depth, int heads, int mlpWidth, double eps) {
    return VisionConfig.vit(image, patch, width, depth, heads, mlpWidth).withLayerNormEps(eps);
  }

  /** Of any shape. */
  static TeacherModel model(String name, VisionConfig vision) {
    int grid = vision.grid();
    VisionConfig huggingFace =
        vision.withPositions(grid, PositionResampling.BICUBIC).withMlp(MlpKind.GELU_TANH);
    VisionConfig timm = vision.withPositions(grid, PositionResampling.BICUBIC_ANTIALIASED);
    return new TeacherModel(
        name,
        List.of(
            new Variant(HUGGING_FACE, TeacherConfig.ofSymmetricPixels(huggingFace, name)),
            new Variant(HUGGING_FACE_BARE, TeacherConfig.ofSymmetricPixels(huggingFace, name)),
            new Variant(TIMM_ALONE, TeacherConfig.ofSymmetricPixels(timm, name)),
            new Variant(OPEN_CLIP, TeacherConfig.ofSymmetricPixels(timm, name))));
  }
}
