package org.sightline.vla.checkpoint;

import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;
import org.sightline.vla.model.LlamaConfig;
import org.sightline.vla.model.OpenVla;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.VisionConfig;

/**
 * The shape of a model in Hugging Face's {@code config.json} of OpenVLA.
 *
 * <p>Keys that are absent have the defaults of {@code OpenVLAConfig} and {@code LlamaConfig}
 * (transformers 4.40). Settings that would compute something else than {@link OpenVla} does (other
 * vision towers, grouped queries, scaled rotary embeddings, biases, a tied head) are refused by
 * name; keys that do not concern the computation are passed over.
 *
 * <p>The file names vision towers by their timm ids and says nothing of their sizes. Models with
 * other towers (nano, tests) state them under a key of our own, {@value #OWN}.
 */
final class OpenVlaConfigJson {
  static final String OWN = "sightline";
  private static final String DINO_ID = "vit_large_patch14_reg4_dinov2.lvd142m";
  private static final String SIGLIP_ID = "vit_so400m_patch14_siglip_224";

  private OpenVlaConfigJson() {}

  /**
   * Reads the file.
   *
   * @throws FormatException naming the key, what was found and what was expected
   */
  static OpenVlaConfig read(Path file) throws IOException {
    JsonFields root = JsonFields.read(file);
    root.require("model_type", root.text("model_type", null), "openvla");
    root.require("use_fused_vision_backbone", root.bool("use_fused_vision_backbone", true), true);
    if (root.has("timm_override_act_layers")) {
      JsonElement layers = root.json().get("timm_override_act_layers");
      boolean none =
          layers.isJsonArray()
              && layers.getAsJsonArray().asList().stream().allMatch(JsonElement::isJsonNull);
      if (!none) {
        throw root.wrong("timm_override_act_layers", "[null,null]");
      }
    }
    try {
      OpenVlaConfig config = config(root);
      for (double size :
          root.has("image_sizes") ? root.numbers("image_sizes") : List.<Double>of()) {
        if (size != config.dino().imageSize()) {
          throw root.wrong("image_sizes", "all " + config.dino().imageSize());
        }
      }
      return config;
    } catch (IllegalArgumentException e) {
      throw new FormatException(file, "sizes", e.getMessage());
    }
  }

  private static OpenVlaConfig config(JsonFields root) throws FormatException {
    LlamaConfig text = text(root.object("text_config"));
    OpenVlaConfig published = OpenVlaConfig.openVla7b();
    VisionConfig dino = published.dino();
    VisionConfig sigLip = published.sigLip();
    int features = dino.width() + sigLip.width();
    int projectorWidth = 4 * features;
    int alignedLayer = text.layers() / 2;
    String preset = text.equals(published.text()) ? published.preset() : "openvla";
    if (root.has(OWN)) {
      JsonFields own = root.object(OWN);
      dino = vision(own.object("dino"));
      sigLip = vision(own.object("siglip"));
      projectorWidth = own.integer("projector_width");
      alignedLayer = own.integer("aligned_layer");
      preset = own.text("preset", preset);
    } else if (!root.strings("timm_model_ids").equals(List.of(DINO_ID, SIGLIP_ID))) {
      throw root.wrong("timm_model_ids", "[" + DINO_ID + ", " + SIGLIP_ID + "]");
    }
    return new OpenVlaConfig(
        preset,
        dino,
        sigLip,
        projectorWidth,
        text,
        root.integer("pad_to_multiple_of", 64),
        root.integer("n_action_bins", 256),
        root.object("text_config").integer("bos_token_id", 1),
        alignedLayer);
  }

  private static LlamaConfig text(JsonFields text) throws FormatException {
    text.require("model_type", text.text("model_type", "llama"), "llama");
    text.require("hidden_act", text.text("hidden_act", "silu"), "silu");
    for (String off : List.of("attention_bias", "mlp_bias", "tie_word_embeddings")) {
      text.require(off, text.bool(off, false), false);
    }
    int hidden = text.integer("hidden_size", 4096);
    int heads = text.positive("num_attention_heads", 32);
    text.require("num_key_value_heads", text.integer("num_key_value_heads", heads), heads);
    text.require("head_dim", text.integer("head_dim", hidden / heads), hidden / heads);
    return new LlamaConfig(
        hidden,
        text.integer("intermediate_size", 11008),
        text.integer("num_hidden_layers", 32),
        heads,
        text.integer("vocab_size", 32000),
        text.integer("max_position_embeddings", 2048),
        text.number("rms_norm_eps", 1e-6),
        ropeTheta(text));
  }

  /** transformers 5 moved the base into an object that also says how frequencies are scaled. */
  private static double ropeTheta(JsonFields text) throws FormatException {
    double theta = text.number("rope_theta", 10000);
    for (String key : List.of("rope_scaling", "rope_parameters")) {
      if (text.has(key)) {
        JsonFields rope = text.object(key);
        String typeKey = rope.has("rope_type") ? "rope_type" : "type";
        rope.require(typeKey, rope.text(typeKey, "default"), "default");
        theta = rope.number("rope_theta", theta);
      }
    }
    return theta;
  }

  private static VisionConfig vision(JsonFields vision) throws FormatException {
    return VisionConfig.vit(
            vision.integer("image_size"),
            vision.integer("patch_size"),
            vision.integer("width"),
            vision.integer("depth"),
            vision.integer("heads"),
            vision.integer("mlp_width"))
        .with()
        .classTokens(vision.integer("class_tokens"))
        .registerTokens(vision.integer("register_tokens"))
        .classPosition(vision.bool("class_position", false))
        .layerScale(vision.bool("layer_scale", false))
        .attentionPool(vision.bool("attention_pool", false))
        .layerNormEps(vision.number("layer_norm_eps"))
        .build();
  }

  /**
   * The file for a model that has none.
   *
   * @param dtype Hugging Face's name of the weights' type, {@code bfloat16}
   */
  static JsonObject toJson(OpenVlaConfig config, String dtype) {
    LlamaConfig text = config.text();
    var llama = new JsonObject();
    llama.addProperty("model_type", "llama");
    llama.addProperty("hidden_size", text.hiddenSize());
    llama.addProperty("intermediate_size", text.intermediateSize());
    llama.addProperty("num_hidden_layers", text.layers());
    llama.addProperty("num_attention_heads", text.heads());
    llama.addProperty("vocab_size", text.vocabularySize());
    llama.addProperty("max_position_embeddings", text.maxPositions());
    llama.addProperty("rms_norm_eps", text.rmsNormEps());
    llama.addProperty("rope_theta", text.ropeTheta());
    llama.addProperty("bos_token_id", config.bosToken());
    llama.addProperty("torch_dtype", dtype);
    var root = new JsonObject();
    root.add("architectures", array("OpenVLAForActionPrediction"));
    root.addProperty("model_type", "openvla");
    root.addProperty("arch_specifier", "no-align+gelu-mlp");
    root.addProperty("use_fused_vision_backbone", true);
    root.addProperty("image_resize_strategy", "resize-naive");
    root.add("image_sizes", array(config.dino().imageSize(), config.sigLip().imageSize()));
    root.addProperty("n_action_bins", config.actionBins());
    root.addProperty("pad_to_multiple_of", config.vocabularyPadding());
    root.addProperty("torch_dtype", dtype);
    root.add("text_config", llama);
    OpenVlaConfig published = OpenVlaConfig.openVla7b();
    if (config.dino().equals(published.dino()) && config.sigLip().equals(published.sigLip())) {
      root.add("timm_model_ids", array(DINO_ID, SIGLIP_ID));
      root.add("timm_override_act_layers", array(null, null));
    } else {
      var own = new JsonObject();
      own.addProperty("preset", config.preset());
      own.add("dino", toJson(config.dino()));
      own.add("siglip", toJson(config.sigLip()));
      own.addProperty("projector_width", config.projectorWidth());
      own.addProperty("aligned_layer", config.alignedLayer());
      root.add(OWN, own);
    }
    return root;
  }

  private static JsonElement array(Object... values) {
    return new Gson().toJsonTree(values);
  }

  private static JsonObject toJson(VisionConfig vision) {
    var json = new JsonObject();
    json.addProperty("image_size", vision.imageSize());
    json.addProperty("patch_size", vision.patchSize());
    json.addProperty("width", vision.width());
    json.addProperty("depth", vision.depth());
    json.addProperty("heads", vision.heads());
    json.addProperty("mlp_width", vision.mlpWidth());
    json.addProperty("class_tokens", vision.classTokens());
    json.addProperty("register_tokens", vision.registerTokens());
    json.addProperty("class_position", vision.classPosition());
    json.addProperty("layer_scale", vision.layerScale());
    json.addProperty("attention_pool", vision.attentionPool());
    json.addProperty("layer_norm_eps", vision.layerNormEps());
    return json;
  }
}
