package org.sightline.vla.model;

import org.bytedeco.pytorch.Tensor;
import org.sightline.vla.model.Norms.LayerNorm;

/**
 * A pre-norm block: {@code x += ls1 ⊙ Attn(LN1 x); x += ls2 ⊙ MLP(LN2 x)}, the LayerScale factors
 * where the configuration has them.
 */
final class VisionBlock implements Module {
  private final int heads;
  private final LayerNorm norm1;
  private final Linear qkv;
  private final Linear proj;
  private final Tensor ls1; // or null
  private final LayerNorm norm2;
  private final Mlp mlp;
  private final Tensor ls2; // or null

  /** {@code name} is the prefix of the parameter names, with its trailing dot. */
  VisionBlock(Modules modules, String name, VisionConfig config) {
    long width = config.width();
    double eps = config.layerNormEps();
    heads = config.heads();
    norm1 = LayerNorm.of(modules, name + "norm1", width, eps);
    qkv = modules.linear(name + "attn.qkv", width, 3 * width, true);
    proj = modules.linear(name + "attn.proj", width, width, true);
    ls1 = layerScale(modules, name + "ls1", config);
    norm2 = LayerNorm.of(modules, name + "norm2", width, eps);
    mlp = Mlp.of(modules, name + "mlp.", config);
    ls2 = layerScale(modules, name + "ls2", config);
  }

  private static Tensor layerScale(Modules modules, String name, VisionConfig config) {
    return config.layerScale() ? modules.parameter(name + ".scale_factor", config.width()) : null;
  }

  /** [B,S,D] to [B,S,D]. */
  @Override
  public Tensor forward(Tensor input) {
    Tensor x = input.add(scaled(attention(norm1.forward(input)), ls1));
    return x.add(scaled(mlp.forward(norm2.forward(x)), ls2));
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
