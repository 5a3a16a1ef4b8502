package org.sightline.vla.model;

import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.gelu;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.sightline.vla.model.Norms.LayerNorm;

/**
 * A vision transformer: patch embedding, prefix tokens (class, registers), pre-norm blocks.
 *
 * <p>{@code x += ls1 ⊙ Attn(LN1 x); x += ls2 ⊙ MLP(LN2 x)}, the LayerScale factors where the
 * configuration has them. Only the first {@code blocks} blocks exist here: OpenVLA reads the
 * second-to-last one, so the last is never loaded nor run.
 */
final class VisionTransformer {
  private final VisionConfig config;
  private final Linear patchEmbedding;
  private final Tensor prefix; // [1, class + registers, D] or null
  private final Tensor positions; // [1, N, D], or [1, 1 + N, D] with a position for the class token
  private final List<Block> blocks = new ArrayList<>();
  private final LayerNorm finalNorm; // or null

  /**
   * @param name prefix of the parameter names, with its trailing dot
   * @param blocks blocks to run
   * @param withFinalNorm whether the output goes through {@code norm}
   */
  VisionTransformer(
      Modules modules, String name, VisionConfig config, int blocks, boolean withFinalNorm) {
    this.config = config;
    long width = config.width();
    prefix = prefix(modules, name, config);
    positions = modules.parameter(name + "pos_embed", 1, config.positions(), width);
    patchEmbedding = modules.patchEmbedding(name + "patch_embed.proj", config);
    for (int i = 0; i < blocks; i++) {
      this.blocks.add(new Block(modules, name + "blocks." + i + ".", config));
    }
    finalNorm =
        withFinalNorm ? LayerNorm.of(modules, name + "norm", width, config.layerNormEps()) : null;
  }

  private static Tensor prefix(Modules modules, String name, VisionConfig config) {
    var tokens = new ArrayList<Tensor>();
    if (config.classTokens() > 0) {
      tokens.add(modules.parameter(name + "cls_token", 1, config.classTokens(), config.width()));
    }
    if (config.registerTokens() > 0) {
      tokens.add(modules.parameter(name + "reg_token", 1, config.registerTokens(), config.width()));
    }
    if (tokens.isEmpty()) {
      return null;
    }
    return modules.own(cat(new TensorVector(tokens.toArray(Tensor[]::new)), 1));
  }

  /** Patch features [B,N,D] of images [B,3,H,W]; patches row by row, prefix tokens dropped. */
  Tensor forward(Tensor images) {
    return Scopes.scoped(
        () -> {
          Tensor x = embed(images);
          for (Block block : blocks) {
            x = block.forward(x);
          }
          x = x.narrow(1, config.prefixTokens(), config.patches());
          return finalNorm == null ? x : finalNorm.forward(x);
        });
  }

  private Tensor embed(Tensor images) {
    Tensor patches = patchEmbedding.forward(unfold(images));
    if (prefix == null) {
      return patches.add(positions);
    }
    long batch = images.size(0);
    Tensor prefixes = prefix.expand(batch, prefix.size(1), prefix.size(2));
    if (config.classPosition()) {
      // The class token has the first position; registers, if any, have none.
      Tensor classToken = prefixes.narrow(1, 0, 1).add(positions.narrow(1, 0, 1));
      Tensor registers = prefixes.narrow(1, 1, config.registerTokens());
      Tensor placed = patches.add(positions.narrow(1, 1, config.patches()));
      return cat(new TensorVector(classToken, registers, placed), 1);
    }
    return cat(new TensorVector(prefixes, patches.add(positions)), 1);
  }

  /** [B,3,H,W] to [B,N,3·p·p], each patch in (channel, row, column) order as a kernel is. */
  private Tensor unfold(Tensor images) {
    long grid = config.grid();
    long p = config.patchSize();
    return images
        .reshape(images.size(0), 3, grid, p, grid, p)
        .permute(0, 2, 4, 1, 3, 5)
        .reshape(images.size(0), grid * grid, config.patchElements());
  }

  private static final class Block {
    private final int heads;
    private final LayerNorm norm1;
    private final Linear qkv;
    private final Linear proj;
    private final Tensor ls1; // or null
    private final LayerNorm norm2;
    private final Linear fc1;
    private final Linear fc2;
    private final Tensor ls2; // or null

    Block(Modules modules, String name, VisionConfig config) {
      long width = config.width();
      double eps = config.layerNormEps();
      heads = config.heads();
      norm1 = LayerNorm.of(modules, name + "norm1", width, eps);
      qkv = modules.linear(name + "attn.qkv", width, 3 * width, true);
      proj = modules.linear(name + "attn.proj", width, width, true);
      ls1 = layerScale(modules, name + "ls1", config);
      norm2 = LayerNorm.of(modules, name + "norm2", width, eps);
      fc1 = modules.linear(name + "mlp.fc1", width, config.mlpWidth(), true);
      fc2 = modules.linear(name + "mlp.fc2", config.mlpWidth(), width, true);
      ls2 = layerScale(modules, name + "ls2", config);
    }

    private static Tensor layerScale(Modules modules, String name, VisionConfig config) {
      return config.layerScale() ? modules.parameter(name + ".scale_factor", config.width()) : null;
    }

    Tensor forward(Tensor input) {
      return Scopes.scoped(
          () -> {
            Tensor x = input.add(scaled(attention(norm1.forward(input)), ls1));
            return x.add(scaled(fc2.forward(gelu(fc1.forward(norm2.forward(x)))), ls2));
          });
    }

    private Tensor attention(Tensor x) {
      long batch = x.size(0);
      long tokens = x.size(1);
      long width = x.size(2);
      // Rows of the fused weight: all of q, all of k, all of v; inside each, head after head.
      Tensor heads3 =
          qkv.forward(x).view(batch, tokens, 3, heads, width / heads).permute(2, 0, 3, 1, 4);
      Tensor q = heads3.select(0, 0);
      Tensor k = heads3.select(0, 1);
      Tensor v = heads3.select(0, 2);
      return proj.forward(Attention.attend(q, k, v, false));
    }

    private static Tensor scaled(Tensor x, Tensor factor) {
      return factor == null ? x : x.mul(factor);
    }
  }
}
