package org.sightline.vla.memory;

import static org.sightline.vla.memory.ElementType.BF16;
import static org.sightline.vla.memory.ElementType.FP32;
import static org.sightline.vla.memory.ElementType.INT64;

import org.sightline.vla.model.LlamaConfig;
import org.sightline.vla.model.MlpKind;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.VisionConfig;

/**
 * What this library's forward pass leaves for its backward pass: for each operation the tensors its
 * derivative reads, each storage once.
 *
 * <p>Frozen weights need no input for their own gradient; an adapted layer keeps x for A's, and s =
 * xAᵀ [rows,r] in fp32 for B's. Sums keep nothing.
 */
final class SavedTensors {
  private final StepConfig settings;
  private final Tally tally;
  private final OpenVlaConfig model;
  private final ElementType type;
  private final long batch;
  private final long rank;

  SavedTensors(StepConfig settings, Tally tally) {
    this.settings = settings;
    this.tally = tally;
    model = settings.model();
    type = ElementType.of(settings.dtype());
    batch = settings.batchSize();
    rank = settings.rank();
  }

  void add() {
    vision(Tally.DINO, model.dino());
    vision(Tally.SIGLIP, model.sigLip());
    projector();
    decoder();
    logits();
    hiddenStates();
  }

  private void vision(String name, VisionConfig vision) {
    long patchRows = batch * vision.patches();
    String patches = name + ".patch_embed.proj";
    saved(MemoryGroup.VISION, patches + " x", "unfolded pixels", patchRows, vision.patchElements());
    product(MemoryGroup.VISION, patches, patchRows);
    // The second-to-last block is the last one run.
    for (int i = 0; i < vision.depth() - 1; i++) {
      visionBlock(name + ".blocks." + i, vision);
    }
  }

  private void visionBlock(String block, VisionConfig vision) {
    MemoryGroup group = MemoryGroup.VISION;
    long rows = batch * (vision.patches() + vision.prefixTokens());
    long width = vision.width();
    long hidden = vision.mlpWidth();
    for (String norm : new String[] {"norm1", "norm2"}) {
      saved(group, block + "." + norm + " input", "LayerNorm's x", rows, width);
      saved(group, block + "." + norm + " output", "x of the next adapted layer", rows, width);
      String reason = "LayerNorm's mean and 1/σ";
      tally.add(group, block + "." + norm + " statistics", FP32, reason, 2, rows);
    }
    saved(group, block + ".attn.qkv output", "q, k, v of the attention", rows, 3 * width);
    saved(group, block + ".attn output", "attention's result, x of proj", rows, width);
    logSumExp(group, block + ".attn", batch, vision.heads(), rows / batch);
    if (vision.mlp() == MlpKind.SWIGLU) {
      saved(group, block + ".mlp.w12 output", "gate and up", rows, 2 * hidden);
      saved(group, block + ".mlp gate", "silu(gate)", rows, hidden);
    } else {
      saved(group, block + ".mlp.fc1 output", "GELU's x", rows, hidden);
    }
    saved(group, block + ".mlp activation", "x of the MLP's last layer", rows, hidden);
    boolean gated = vision.mlp() == MlpKind.SWIGLU;
    product(group, block + ".attn.qkv", rows);
    product(group, block + ".attn.proj", rows);
    product(group, block + (gated ? ".mlp.w12" : ".mlp.fc1"), rows);
    product(group, block + (gated ? ".mlp.w3" : ".mlp.fc2"), rows);
  }

  private void projector() {
    MemoryGroup group = MemoryGroup.VISION;
    long rows = batch * model.imageTokens();
    long features = (long) model.dino().width() + model.sigLip().width();
    long inner = model.projectorWidth();
    long hidden = model.text().hiddenSize();
    saved(group, "projector.fc1 x", "features of both transformers", rows, features);
    saved(group, "projector.fc1 output", "GELU's x", rows, inner);
    saved(group, "projector.fc2 x", "GELU's result", rows, inner);
    saved(group, "projector.fc2 output", "GELU's x", rows, hidden);
    saved(group, "projector.fc3 x", "GELU's result", rows, hidden);
    for (String layer : new String[] {"fc1", "fc2", "fc3"}) {
      product(group, "projector." + layer, rows);
    }
  }

  private void decoder() {
    LlamaConfig text = model.text();
    long rows = rows();
    for (int i = 0; i < text.layers(); i++) {
      String block = Tally.LAYERS + i;
      if (settings.gradientCheckpointing()) {
        saved(MemoryGroup.DECODER, block + " input", "to run it again", rows, text.hiddenSize());
      } else {
        decoderBlock(MemoryGroup.DECODER, block, true);
      }
    }
    rmsNorm(MemoryGroup.DECODER, "language_model.model.norm", true);
    String moment = "backward of a block";
    if (settings.gradientCheckpointing()) {
      // Its input is there already, in fp32 with the tensor the norm keeps.
      decoderBlock(MemoryGroup.MOMENT, moment + ": recomputed", type == BF16);
    }
    long inner = text.intermediateSize();
    String mlp = "of the product, then of its two factors";
    tally.moment(moment, "MLP gradients", type, mlp, 3, rows, inner);
    String stream = "of the residual stream and of a branch";
    tally.moment(moment, "gradients", type, stream, 2, rows, text.hiddenSize());
  }

  /** {@code withInput}: whether the input of the first norm counts. */
  private void decoderBlock(MemoryGroup group, String block, boolean withInput) {
    LlamaConfig text = model.text();
    long rows = rows();
    long width = text.hiddenSize();
    long inner = text.intermediateSize();
    rmsNorm(group, block + ".input_layernorm", withInput);
    saved(group, block + ".input_layernorm output", "x of q, k, v, once", rows, width);
    for (String each : new String[] {"q", "k", "v"}) {
      saved(group, block + ".self_attn " + each, "of the attention", rows, width);
    }
    saved(group, block + ".self_attn output", "attention's result, x of o_proj", rows, width);
    logSumExp(group, block + ".self_attn", batch, text.heads(), settings.sequence());
    rmsNorm(group, block + ".post_attention_layernorm", true);
    saved(group, block + ".post_attention_layernorm output", "x of gate, up, once", rows, width);
    saved(group, block + ".mlp gate", "SiLU's x", rows, inner);
    saved(group, block + ".mlp silu", "factor of the product", rows, inner);
    saved(group, block + ".mlp up", "factor of the product", rows, inner);
    saved(group, block + ".mlp product", "x of down_proj", rows, inner);
    for (String layer :
        new String[] {
          "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"
        }) {
      product(group, block + "." + layer, rows);
    }
  }

  private void rmsNorm(MemoryGroup group, String name, boolean withInput) {
    long rows = rows();
    if (withInput) {
      String reason = "x in fp32: " + (type == BF16 ? "a copy" : "the residual stream itself");
      tally.add(group, name + " x", FP32, reason, rows, model.text().hiddenSize());
    }
    tally.add(group, name + " 1/rms", FP32, "factor of each row", rows, 1);
  }

  /** Only where a token is labelled are there logits. */
  private void logits() {
    long rows = batch * settings.labelledTokens();
    long vocabulary = model.text().vocabularySize();
    MemoryGroup group = MemoryGroup.LOGITS;
    saved(group, "lm_head x", "hidden states of labelled tokens", rows, model.text().hiddenSize());
    product(group, Tally.HEAD, rows);
    String reason = "log-probabilities of labelled tokens";
    tally.add(group, "cross entropy", FP32, reason, rows, vocabulary);
    tally.add(group, "rows and targets", INT64, "where the labels are", 2, rows);
    tally.moment("loss", "logits", type, "of labelled tokens", rows, vocabulary);
    if (type == BF16) {
      tally.moment("loss", "logits in fp32", FP32, "for the cross entropy", rows, vocabulary);
    }
  }

  /** In fp32, or with checkpointing, the blocks keep these tensors themselves. */
  private void hiddenStates() {
    long width = model.text().hiddenSize();
    int last = model.text().layers();
    boolean inner = type == BF16 && !settings.gradientCheckpointing();
    for (int layer : settings.alignedLayers()) {
      if (inner || layer == last) {
        String name = "hidden state " + layer;
        saved(MemoryGroup.HIDDEN_STATES, name, "asked for", batch, settings.sequence(), width);
      }
      String name = "layer " + layer + " gradient";
      String reason = "of the alignment loss, computed with it";
      saved(MemoryGroup.ALIGNMENT, name, reason, batch, settings.sequence(), width);
      tally.add(
          MemoryGroup.ALIGNMENT,
          "layer " + layer + " cosine",
          FP32,
          "of each image token",
          batch,
          model.imageTokens());
    }
    if (settings.aligned()) {
      saved(
          MemoryGroup.ALIGNMENT,
          "teacher features",
          settings.teacherCached() ? "read from the cache" : "of this step's images",
          batch,
          model.imageTokens(),
          settings.teacher().vision().width());
    }
  }

  private void saved(MemoryGroup group, String name, String reason, long... shape) {
    tally.add(group, name, type, reason, shape);
  }

  private void product(MemoryGroup group, String module, long rows) {
    tally.add(group, module + " s", FP32, "xAᵀ, for B's gradient", rows, rank);
  }

  private void logSumExp(MemoryGroup group, String name, long b, long heads, long tokens) {
    tally.add(group, name + " logsumexp", FP32, "softmax is recomputed from it", b, heads, tokens);
  }

  private long rows() {
    return batch * settings.sequence();
  }
}
