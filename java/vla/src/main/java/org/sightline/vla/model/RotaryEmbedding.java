package org.sightline.vla.model;

import static org.bytedeco.pytorch.global.torch.arange;
import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.tensor;

import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.sightline.binding.Scopes;

/**
 * Rotary position embedding in Hugging Face's half-split form: channel i is paired with channel i +
 * headWidth/2, not with its neighbour.
 *
 * <p>Angles are computed in fp32 and only their cosines and sines are rounded to the model's dtype;
 * frequencies in bf16 would be off by most of a radian at position 600.
 */
final class RotaryEmbedding {
  /** More than any prompt of OpenVLA has; what a configuration allows may be any number. */
  private static final int FIRST_POSITIONS = 4096;

  /**
   * @param cos [positions, headWidth/2]
   * @param sin likewise
   */
  private record Table(Tensor cos, Tensor sin) {}

  private final Modules modules;
  private final long maxPositions;
  private final float[] inverse;
  private volatile Table table;

  RotaryEmbedding(Modules modules, LlamaConfig config) {
    this.modules = modules;
    maxPositions = config.maxPositions();
    int half = config.headWidth() / 2;
    inverse = new float[half];
    for (int i = 0; i < half; i++) {
      inverse[i] = (float) Math.pow(config.ropeTheta(), -2.0 * i / config.headWidth());
    }
    table = tableOf(Math.min(maxPositions, FIRST_POSITIONS));
  }

  private Table tableOf(long positions) {
    Tensor angles = arange(new Scalar((float) positions)).outer(tensor(inverse));
    return new Table(
        modules.own(modules.device().move(angles.cos().to(modules.scalarType()))),
        modules.own(modules.device().move(angles.sin().to(modules.scalarType()))));
  }

  /** A table of this many positions at least; earlier ones stay, for who is using them. */
  private Table upTo(long positions) {
    if (positions > table.cos().size(0)) {
      synchronized (this) {
        if (positions > table.cos().size(0)) {
          table = Scopes.withoutGradient(() -> tableOf(Math.min(maxPositions, 2 * positions)));
        }
      }
    }
    return table;
  }

  /**
   * Rotates x [B,heads,S,headWidth] by the angles of positions first..first+S-1.
   *
   * <p>In memory the result is [B,S,heads,headWidth]: attention lays its output out as its queries
   * are, and then joining the heads is a view and not a copy that the backward pass would keep.
   */
  Tensor forward(Tensor x, long first) {
    return Scopes.scoped(
        () -> {
          long tokens = x.size(2);
          Table angles = upTo(first + tokens);
          long half = inverse.length;
          Tensor c = angles.cos().narrow(0, first, tokens).unsqueeze(1);
          Tensor s = angles.sin().narrow(0, first, tokens).unsqueeze(1);
          Tensor byToken = x.transpose(1, 2);
          Tensor x1 = byToken.narrow(3, 0, half);
          Tensor x2 = byToken.narrow(3, half, half);
          Tensor left = x1.mul(c).sub(x2.mul(s));
          Tensor right = x2.mul(c).add(x1.mul(s));
          return cat(new TensorVector(left, right), -1).transpose(1, 2);
        });
  }
}
