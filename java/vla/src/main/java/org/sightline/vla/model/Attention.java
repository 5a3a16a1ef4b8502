package org.sightline.vla.model;

import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;

/** softmax(q·kᵀ / √headWidth)·v, through libtorch's fused kernel where it has one. */
final class Attention {
  private Attention() {}

  /**
   * @param q queries [B,heads,S,headWidth]; k and v alike
   * @param causal whether position i sees only positions 0..i
   * @return [B,S,heads·headWidth], heads joined
   */
  static Tensor attend(Tensor q, Tensor k, Tensor v, boolean causal) {
    Tensor joined =
        q.is_meta()
            ? MetaForms.attention(q, k, v)
            : torch.scaled_dot_product_attention(
                q, k, v, new TensorOptional(), 0.0, causal, new DoubleOptional(), false);
    return joined.transpose(1, 2).flatten(2, 3);
  }
}
