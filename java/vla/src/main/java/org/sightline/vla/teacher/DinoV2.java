package org.sightline.vla.teacher;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;
import org.sightline.vla.checkpoint.SafetensorsWeights;
import org.sightline.vla.model.MlpKind;
import org.sightline.vla.model.PositionResampling;
import org.sightline.vla.model.VisionConfig;
import org.sightline.vla.teacher.TeacherModel.Variant;

/**
 * DINOv2 (facebookresearch/dinov2), without and with registers:
 *
 * <pre>
 * x = patches(image) Wᵀ + b              14×14 pixels, image normalised with ImageNet's constants
 * x = [class token, x] + positions       37×37 of them, resampled to the image's grid
 * x = [class token, registers, x]        registers have no position
 * x = norm(blocks(x))                    LayerScale; ViT-g has SwiGLU for its MLP
 * features = x[:, 1 + registers:]
 * </pre>
 *
 * <p>The image is the policy's own copy as it is, normalised with constants rounded to bf16, and
 * positions are resampled as timm does, both as in the paper's code. (DINOv2's own code would
 * resample without antialias.)
 */
final class DinoV2 implements Architecture {
  private static final int PATCH = 14;

  /** Trained at 518 pixels. */
  private static final int IMAGE = 518;

  private static final int REGISTERS = 4;

  private static final TensorLayout HUGGING_FACE = huggingFace("");
  private static final TensorLayout HUGGING_FACE_CLASSIFIER = huggingFace("dinov2.");
  private static final TensorLayout HUGGING_FACE_REGISTERS_CLASSIFIER =
      huggingFace("dinov2_with_registers.");
  private static final TensorLayout HUB =
      layout("DINOv2's own checkpoint", "register_tokens", "w12", "w3");
  private static final TensorLayout TIMM = layout("timm", "reg_token", "fc1", "fc2");

  private static TensorLayout huggingFace(String prefix) {
    return TensorLayout.of(
        "Hugging Face's Dinov2Model",
        """
        cls_token                 PREFIXembeddings.cls_token
        reg_token                 PREFIXembeddings.register_tokens
        pos_embed                 PREFIXembeddings.position_embeddings
        patch_embed.proj          PREFIXembeddings.patch_embeddings.projection
        blocks.*.norm1            PREFIXencoder.layer.*.norm1
        blocks.*.attn.qkv         PREFIXencoder.layer.*.attention.attention.{query,key,value}
        blocks.*.attn.proj        PREFIXencoder.layer.*.attention.output.dense
        blocks.*.ls1.scale_factor PREFIXencoder.layer.*.layer_scale1.lambda1
        blocks.*.norm2            PREFIXencoder.layer.*.norm2
        blocks.*.mlp.fc1          PREFIXencoder.layer.*.mlp.fc1
        blocks.*.mlp.fc2          PREFIXencoder.layer.*.mlp.fc2
        blocks.*.mlp.w12          PREFIXencoder.layer.*.mlp.weights_in
        blocks.*.mlp.w3           PREFIXencoder.layer.*.mlp.weights_out
        blocks.*.ls2.scale_factor PREFIXencoder.layer.*.layer_scale2.lambda1
        norm                      PREFIXlayernorm
        """
            .replace("PREFIX", prefix),
        prefix + "embeddings.mask_token",
        "classifier.");
  }

  private static TensorLayout layout(String name, String registers, String w12, String w3) {
    return TensorLayout.of(
        name,
        """
        cls_token                 cls_token
        reg_token                 REGISTERS
        pos_embed                 pos_embed
        patch_embed.proj          patch_embed.proj
        blocks.*.norm1            blocks.*.norm1
        blocks.*.attn.qkv         blocks.*.attn.qkv
        blocks.*.attn.proj        blocks.*.attn.proj
        blocks.*.ls1.scale_factor blocks.*.ls1.gamma
        blocks.*.norm2            blocks.*.norm2
        blocks.*.mlp.fc1          blocks.*.mlp.fc1
        blocks.*.mlp.fc2          blocks.*.mlp.fc2
        blocks.*.mlp.w12          blocks.*.mlp.W12
        blocks.*.mlp.w3           blocks.*.mlp.W3
        blocks.*.ls2.scale_factor blocks.*.ls2.gamma
        norm                      norm
        """
            .replace("REGISTERS", registers)
            .replace("W12", w12)
            .replace("W3", w3),
        "mask_token",
        "head.");
  }

  @Override
  public String family() {
    return "DINOv2 (model_type dinov2, dinov2_with_registers; timm's vit_*_dinov2)";
  }

  @Override
  public List<String> presets() {
    return Stream.of("dinov2_vits14", "dinov2_vitb14", "dinov2_vitl14", "dinov2_vitg14")
        .flatMap(name -> Stream.of(name, name + "_reg"))
        .toList();
  }

  @Override
  public TeacherModel preset(String name, SafetensorsWeights files) {
    int registers = name.endsWith("_reg") ? REGISTERS : 0;
    return ofSize(name, name.charAt("dinov2_vit".length()), registers);
  }

  private static TeacherModel ofSize(String name, char size, int registers) {
    return switch (size) {
      case 's' -> model(name, vision(IMAGE, PATCH, 384, 12, 6, 1536, registers));
      case 'b' -> model(name, vision(IMAGE, PATCH, 768, 12, 12, 3072, registers));
      case 'l' -> model(name, vision(IMAGE, PATCH, 1024, 24, 16, 4096, registers));
      case 'g' ->
          model(name, vision(IMAGE, PATCH, 1536, 40, 24, 4096, registers).withMlp(MlpKind.SWIGLU));
      default -> throw new IllegalArgumentException("no DINOv2 of size " + size);
    };
  }

  @Override
  public boolean describes(JsonFields config) throws FormatException {
    return config.text("model_type", "").matches("dinov2(_with_registers)?")
        || config.text("architecture", "").matches("vit_.*_dinov2");
  }

  @Override
  public TeacherModel of(JsonFields config, SafetensorsWeights files) throws FormatException {
    if (config.has("architecture")) {
      return ofTimm(config);
    }
    String type = config.text("model_type");
    int width = config.integer("hidden_size", 768);
    double mlpRatio = config.number("mlp_ratio", 4);
    boolean gated = config.bool("use_swiglu_ffn", false);
    config.require("qkv_bias", config.bool("qkv_bias", true), true);
    config.require("hidden_act", config.text("hidden_act", "gelu"), "gelu");
    int hidden = (int) (width * mlpRatio);
    var vision =
        VisionConfig.vit(
                config.integer("image_size", 224),
                config.integer("patch_size", 16),
                width,
                config.integer("num_hidden_layers", 12),
                config.integer("num_attention_heads", 12),
                gated ? (int) ((hidden * 2L / 3 + 7) / 8 * 8) : hidden)
            .with()
            .classTokens(1)
            .registerTokens(type.equals("dinov2") ? 0 : config.integer("num_register_tokens", 4))
            .classPosition(true)
            .layerScale(true)
            .layerNormEps(config.number("layer_norm_eps", 1e-6))
            .build();
    return model(
        config.text("_name_or_path", type), gated ? vision.withMlp(MlpKind.SWIGLU) : vision);
  }

  private static TeacherModel ofTimm(JsonFields config) throws FormatException {
    String architecture = config.text("architecture");
    String size =
        architecture.replaceAll("vit_(small|base|large|giant)_patch14_(reg4_)?dinov2", "$1");
    if (size.equals(architecture)) {
      throw config.wrong("architecture", "vit_{small,base,large,giant}_patch14_[reg4_]dinov2");
    }
    return ofSize(architecture, size.charAt(0), architecture.contains("reg4") ? REGISTERS : 0);
  }

  static VisionConfig vision(
      int image, int patch, int width, int depth, int heads, int mlpWidth, int registers) {
    return VisionConfig.vit(image, patch, width, depth, heads, mlpWidth)
        .with()
        .classTokens(1)
        .registerTokens(registers)
        .classPosition(true)
        .layerScale(true)
        .build();
  }

  /** Of any shape, with a position for the class token. */
  static TeacherModel model(String name, VisionConfig vision) {
    VisionConfig ours = vision.withPositions(vision.grid(), PositionResampling.BICUBIC_ANTIALIASED);
    // Without positions for prefix tokens: timm adds the class token's to the token itself.
    VisionConfig timms = ours.withClassPosition(vision.registerTokens() == 0);
    var variants = new ArrayList<Variant>();
    for (TensorLayout layout :
        List.of(HUGGING_FACE, HUGGING_FACE_CLASSIFIER, HUGGING_FACE_REGISTERS_CLASSIFIER, HUB)) {
      variants.add(new Variant(layout, TeacherConfig.ofPolicyPixels(ours, name)));
    }
    variants.add(new Variant(TIMM, TeacherConfig.ofPolicyPixels(timms, name)));
    return new TeacherModel(name, variants);
  }
}
