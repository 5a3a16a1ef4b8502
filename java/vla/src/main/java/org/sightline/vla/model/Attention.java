package org.sightline.vla.model;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.sightline.DType;
import org.sightline.Device;

/** softmax(q·kᵀ / √headWidth)·v, through libtorch's fused kernel where it has one. */
public final class Attention {
  /** Of the operations that libtorch may choose among, all but the composed one. */
  private static final Pattern FUSED = Pattern.compile("ScaledDotProduct(\\w+?)Attention.*");

  private Attention() {}

  /**
   * Which of libtorch's kernels computes the attention of such heads: {@code flash}, {@code
   * efficient}, {@code cudnn}; {@code unfused} if none does. It is asked for a small one, whose
   * place in the graph has the kernel's name.
   */
  public static String kernel(Device device, DType dtype, int headWidth) {
    try (PointerScope scope = new PointerScope()) {
      Tensor q = torch.zeros(1, 1, 64, headWidth).to(Modules.scalarType(dtype));
      q = device.move(q).set_requires_grad(true);
      String operation = fused(q, q, q, true).grad_fn().name().getString();
      Matcher found = FUSED.matcher(operation);
      return found.matches() ? found.group(1).toLowerCase(Locale.ROOT) : "unfused";
    }
  }

  /**
   * @param q queries [B,heads,S,headWidth]; k and v alike
   * @param causal whether position i sees only positions 0..i
   * @return [B,S,heads·headWidth], heads joined
   */
  static Tensor attend(Tensor q, Tensor k, Tensor v, boolean causal) {
    Tensor joined = q.is_meta() ? MetaForms.attention(q, k, v) : fused(q, k, v, causal);
    return joined.transpose(1, 2).flatten(2, 3);
  }

  private static Tensor fused(Tensor q, Tensor k, Tensor v, boolean causal) {
    return torch.scaled_dot_product_attention(
        q, k, v, new TensorOptional(), 0.0, causal, new DoubleOptional(), false);
  }
}
