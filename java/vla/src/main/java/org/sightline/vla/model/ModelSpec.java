package org.sightline.vla.model;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * Every parameter of an OpenVLA checkpoint, and every module LoRA wraps, from the configuration
 * alone: nothing is allocated.
 *
 * <p>Names and order are those of the Hugging Face state dict. The adapted modules follow PEFT's
 * {@code target_modules="all-linear"} as the paper's PEFT 0.11 took it: it collects the last name
 * component of every linear layer and then wraps each linear <em>or convolution</em> whose name
 * ends in one of them, which catches the output head and both patch embeddings too. (PEFT 0.20
 * collects full names, and so leaves the patch embeddings out. Files name their modules, so each
 * reads what the other means.)
 */
public final class ModelSpec {
  public static final String DINO = "vision_backbone.featurizer";
  public static final String SIGLIP = "vision_backbone.fused_featurizer";
  static final String PROJECTOR = "projector";
  public static final String LANGUAGE_MODEL = "language_model";

  private final List<ParameterSpec> parameters = new ArrayList<>();
  private final List<LoraTarget> linears = new ArrayList<>();
  private final List<LoraTarget> wrappable = new ArrayList<>();

  private ModelSpec() {}

  public static ModelSpec of(OpenVlaConfig config) {
    var spec = new ModelSpec();
    spec.vision(DINO, config.dino(), config.dino().depth() - 1);
    spec.vision(SIGLIP, config.sigLip(), config.sigLip().depth() - 1);
    long features = config.dino().width() + config.sigLip().width();
    long hidden = config.text().hiddenSize();
    spec.linear(PROJECTOR + ".fc1", features, config.projectorWidth(), true, true);
    spec.linear(PROJECTOR + ".fc2", config.projectorWidth(), hidden, true, true);
    spec.linear(PROJECTOR + ".fc3", hidden, hidden, true, true);
    spec.decoder(config.text());
    return spec;
  }

  /** Parameters of a lone vision transformer whose first {@code blocksRun} blocks are run. */
  static List<ParameterSpec> ofVision(VisionConfig config, boolean finalNorm) {
    var spec = new ModelSpec();
    spec.vision("", config, config.depth());
    return spec.parameters.stream()
        .filter(p -> finalNorm || !p.name().startsWith("norm."))
        .toList();
  }

  /** The checkpoint's tensors, in the order of its state dict. */
  public List<ParameterSpec> parameters() {
    return List.copyOf(parameters);
  }

  /** The modules PEFT's {@code all-linear} wraps, in the order of the model. */
  public List<LoraTarget> loraTargets() {
    Set<String> suffixes = targetModules();
    return wrappable.stream().filter(t -> suffixes.contains(lastName(t.module()))).toList();
  }

  /** The suffix set PEFT writes as {@code target_modules}. */
  public Set<String> targetModules() {
    return linears.stream()
        .map(t -> lastName(t.module()))
        .collect(Collectors.toCollection(java.util.TreeSet::new));
  }

  private static String lastName(String module) {
    return module.substring(module.lastIndexOf('.') + 1);
  }

  private void vision(String prefix, VisionConfig config, int blocksRun) {
    String p = prefix.isEmpty() ? "" : prefix + ".";
    long width = config.width();
    if (config.classTokens() > 0) {
      parameter(p + "cls_token", 1, config.classTokens(), width);
    }
    if (config.registerTokens() > 0) {
      parameter(p + "reg_token", 1, config.registerTokens(), width);
    }
    parameter(p + "pos_embed", 1, config.positions(), width);
    convolution(p + "patch_embed.proj", config);
    for (int i = 0; i < config.depth(); i++) {
      visionBlock(p + "blocks." + i, config, i < blocksRun);
    }
    norm(p + "norm", width);
    if (config.attentionPool()) {
      attentionPool(p + "attn_pool", config);
    }
  }

  private void visionBlock(String block, VisionConfig config, boolean active) {
    long width = config.width();
    norm(block + ".norm1", width);
    linear(block + ".attn.qkv", width, 3 * width, true, active);
    linear(block + ".attn.proj", width, width, true, active);
    if (config.layerScale()) {
      parameter(block + ".ls1.scale_factor", width);
    }
    norm(block + ".norm2", width);
    boolean gated = config.mlp() == MlpKind.SWIGLU;
    long hidden = config.mlpWidth();
    linear(
        block + (gated ? ".mlp.w12" : ".mlp.fc1"),
        width,
        gated ? 2 * hidden : hidden,
        true,
        active);
    linear(block + (gated ? ".mlp.w3" : ".mlp.fc2"), hidden, width, true, active);
    if (config.layerScale()) {
      parameter(block + ".ls2.scale_factor", width);
    }
  }

  private void attentionPool(String pool, VisionConfig config) {
    long width = config.width();
    parameter(pool + ".latent", 1, 1, width);
    linear(pool + ".q", width, width, true, false);
    linear(pool + ".kv", width, 2 * width, true, false);
    linear(pool + ".proj", width, width, true, false);
    norm(pool + ".norm", width);
    linear(pool + ".mlp.fc1", width, config.mlpWidth(), true, false);
    linear(pool + ".mlp.fc2", config.mlpWidth(), width, true, false);
  }

  private void decoder(LlamaConfig config) {
    long hidden = config.hiddenSize();
    String model = LANGUAGE_MODEL + ".model";
    parameter(model + ".embed_tokens.weight", config.vocabularySize(), hidden);
    for (int i = 0; i < config.layers(); i++) {
      String layer = model + ".layers." + i;
      for (String name : List.of("q_proj", "k_proj", "v_proj", "o_proj")) {
        linear(layer + ".self_attn." + name, hidden, hidden, false, true);
      }
      linear(layer + ".mlp.gate_proj", hidden, config.intermediateSize(), false, true);
      linear(layer + ".mlp.up_proj", hidden, config.intermediateSize(), false, true);
      linear(layer + ".mlp.down_proj", config.intermediateSize(), hidden, false, true);
      parameter(layer + ".input_layernorm.weight", hidden);
      parameter(layer + ".post_attention_layernorm.weight", hidden);
    }
    parameter(model + ".norm.weight", hidden);
    linear(LANGUAGE_MODEL + ".lm_head", hidden, config.vocabularySize(), false, true);
  }

  private void parameter(String name, long... shape) {
    parameters.add(ParameterSpec.of(name, shape));
  }

  private void norm(String module, long width) {
    parameter(module + ".weight", width);
    parameter(module + ".bias", width);
  }

  private void linear(String module, long in, long out, boolean bias, boolean active) {
    parameter(module + ".weight", out, in);
    if (bias) {
      parameter(module + ".bias", out);
    }
    var target = new LoraTarget(module, in, out, 0, active);
    linears.add(target);
    wrappable.add(target);
  }

  private void convolution(String module, VisionConfig config) {
    parameter(module + ".weight", config.width(), 3, config.patchSize(), config.patchSize());
    if (config.patchBias()) {
      parameter(module + ".bias", config.width());
    }
    wrappable.add(
        new LoraTarget(module, config.patchElements(), config.width(), config.patchSize(), true));
  }
}
