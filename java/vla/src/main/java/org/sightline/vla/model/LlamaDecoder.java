package org.sightline.vla.model;

import static org.bytedeco.pytorch.global.torch.silu;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.sightline.LoraLinear;
import org.sightline.autograd.GradientCheckpoint;
import org.sightline.binding.Scopes;
import org.sightline.vla.model.Norms.RmsNorm;

/**
 * The Llama decoder: {@code x += o(Attn(RMS1 x)); x += down(silu(gate h) ⊙ up h)}, h = RMS2 x.
 *
 * <p>There is no padding mask. Rows are padded on the right only, so causality alone already hides
 * the padding from every real token, and attention keeps its fused causal kernel; what comes out
 * <em>at</em> padding positions is undefined and nothing reads it.
 */
final class LlamaDecoder {
  private final LlamaConfig config;
  private final Tensor embedTokens; // [V,D]
  private final List<Block> layers = new ArrayList<>();
  private final RmsNorm norm;
  private final Linear lmHead;
  private boolean gradientCheckpointing;

  LlamaDecoder(Modules modules, LlamaConfig config) {
    this.config = config;
    String model = ModelSpec.LANGUAGE_MODEL + ".model";
    long hidden = config.hiddenSize();
    embedTokens =
        modules.parameter(model + ".embed_tokens.weight", config.vocabularySize(), hidden);
    var rope = new RotaryEmbedding(modules, config);
    for (int i = 0; i < config.layers(); i++) {
      layers.add(new Block(modules, model + ".layers." + i + ".", config, rope));
    }
    norm = RmsNorm.of(modules, model + ".norm", hidden, config.rmsNormEps());
    lmHead =
        modules.linear(
            ModelSpec.LANGUAGE_MODEL + ".lm_head", hidden, config.vocabularySize(), false);
  }

  /**
   * Whether a block keeps its input alone for the backward pass and runs again in it.
   *
   * @return whether it was otherwise before
   */
  boolean setGradientCheckpointing(boolean on) {
    boolean before = gradientCheckpointing;
    gradientCheckpointing = on;
    return before != on;
  }

  /** Token embeddings [B,T,D] of ids [B,T]. */
  Tensor embed(Tensor ids) {
    return ids.is_meta()
        ? MetaForms.rows(embedTokens, ids).view(ids.size(0), ids.size(1), embedTokens.size(1))
        : torch.embedding(embedTokens, ids);
  }

  /** Logits [n,V] of final hidden states [n,D]. */
  Tensor logits(Tensor hidden) {
    return lmHead.forward(hidden);
  }

  /**
   * Hidden states [B,S,D] of the wanted layers for input embeddings [B,S,D], in Hugging Face's
   * count: 0 is the input, k the output of the k-th block, and the last one is taken after the
   * final norm. The last is always there.
   */
  Map<Integer, Tensor> forward(Tensor embeddings, Set<Integer> wanted) {
    requireLength(embeddings.size(1));
    var states = new LinkedHashMap<Integer, Tensor>();
    Tensor x = embeddings;
    for (int i = 0; i < layers.size(); i++) {
      if (wanted.contains(i)) {
        states.put(i, x);
      }
      Block layer = layers.get(i);
      Tensor next = gradientCheckpointing ? layer.checkpointed.forward(x) : layer.apply(x);
      if (i > 0 && !wanted.contains(i)) {
        x.close();
      }
      x = next;
    }
    states.put(layers.size(), norm.apply(x));
    x.close();
    return states;
  }

  /**
   * Final hidden states [B,S,D] of new positions that follow those in {@code cache}; one position,
   * or the first ones. Inference only.
   */
  Tensor forward(Tensor embeddings, KeyValueCache cache) {
    long tokens = embeddings.size(1);
    if (cache.length() > 0 && tokens != 1) {
      throw new AssertionError("a filled cache takes one position at a time, found " + tokens);
    }
    requireLength(cache.length() + tokens);
    return Scopes.scoped(
        () -> {
          Tensor x = embeddings;
          for (int i = 0; i < layers.size(); i++) {
            x = layers.get(i).remembering(i, cache).apply(x);
          }
          cache.advance(tokens);
          return norm.forward(x);
        });
  }

  private void requireLength(long tokens) {
    if (tokens > config.maxPositions()) {
      throw new IllegalArgumentException(
          "sequence must have at most %d tokens, found %d"
              .formatted(config.maxPositions(), tokens));
    }
  }

  private static final class Block implements Module {
    private final int heads;
    private final RotaryEmbedding rope;
    private final RmsNorm inputNorm;
    private final List<Linear> qkv;
    private final Linear o;
    private final RmsNorm postAttentionNorm;
    private final List<Linear> gateUp;
    private final Linear down;
    private final GradientCheckpoint checkpointed;

    Block(Modules modules, String name, LlamaConfig config, RotaryEmbedding rope) {
      this.rope = rope;
      heads = config.heads();
      long hidden = config.hiddenSize();
      long inner = config.intermediateSize();
      double eps = config.rmsNormEps();
      qkv =
          List.of(
              modules.linear(name + "self_attn.q_proj", hidden, hidden, false),
              modules.linear(name + "self_attn.k_proj", hidden, hidden, false),
              modules.linear(name + "self_attn.v_proj", hidden, hidden, false));
      o = modules.linear(name + "self_attn.o_proj", hidden, hidden, false);
      gateUp =
          List.of(
              modules.linear(name + "mlp.gate_proj", hidden, inner, false),
              modules.linear(name + "mlp.up_proj", hidden, inner, false));
      down = modules.linear(name + "mlp.down_proj", inner, hidden, false);
      inputNorm = RmsNorm.of(modules, name + "input_layernorm", hidden, eps);
      postAttentionNorm = RmsNorm.of(modules, name + "post_attention_layernorm", hidden, eps);
      List<LoraLinear> adapters =
          Stream.of(qkv, List.of(o), gateUp, List.of(down))
              .flatMap(List::stream)
              .map(Linear::adapter)
              .filter(Objects::nonNull)
              .toList();
      List<Tensor> parameters =
          adapters.stream().flatMap(each -> Stream.of(each.loraA(), each.loraB())).toList();
      checkpointed = new GradientCheckpoint(this::apply, parameters, adapters);
    }

    @Override
    public Tensor forward(Tensor input) {
      return forward(input, 0, null);
    }

    /** The block as layer {@code layer}, at the positions that follow those in {@code cache}. */
    Module remembering(int layer, KeyValueCache cache) {
      return input -> forward(input, layer, cache);
    }

    /** With {@code cache} null: positions from 0 on, and nothing is remembered. */
    private Tensor forward(Tensor input, int layer, KeyValueCache cache) {
      // A node of its own adds up what the block sends back, before what others do (an aligned
      // layer's loss): then it makes no difference to the sum whether the block runs again.
      Tensor own = input.view_as(input);
      Tensor x = own.add(attention(inputNorm.apply(own), layer, cache));
      return x.add(mlp(postAttentionNorm.apply(x)));
    }

    private Tensor attention(Tensor x, int layer, KeyValueCache cache) {
      long first = cache == null ? 0 : cache.length();
      List<Tensor> projected = Linear.forward(x, qkv);
      Tensor q = rope.forward(byHead(projected.get(0)), first);
      Tensor k = rope.forward(byHead(projected.get(1)), first);
      Tensor v = byHead(projected.get(2));
      if (cache != null) {
        List<Tensor> all = cache.extend(layer, k, v);
        k = all.get(0);
        v = all.get(1);
      }
      // A single later position sees all there is.
      return o.forward(Attention.attend(q, k, v, first == 0));
    }

    /** [B,S,D] to [B,heads,S,D/heads]. */
    private Tensor byHead(Tensor x) {
      return x.view(x.size(0), x.size(1), heads, x.size(2) / heads).transpose(1, 2);
    }

    private Tensor mlp(Tensor x) {
      List<Tensor> projected = Linear.forward(x, gateUp);
      return down.forward(silu(projected.get(0)).mul(projected.get(1)));
    }
  }
}
