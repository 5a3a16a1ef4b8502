package org.sightline.vla.model;

import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The two normalisations of the model; both keep the dtype of their input. */
final class Norms {
  private Norms() {}

  /** LayerNorm over the last dimension with affine weight and bias [D]. */
  record LayerNorm(Tensor weight, Tensor bias, double eps) {
    static LayerNorm of(Modules modules, String name, long width, double eps) {
      return new LayerNorm(
          modules.parameter(name + ".weight", width),
          modules.parameter(name + ".bias", width),
          eps);
    }

    Tensor forward(Tensor x) {
      if (x.is_meta()) {
        return MetaForms.layerNorm(x, weight, bias);
      }
      return torch.layer_norm(
          x,
          new long[] {weight.size(0)},
          new TensorOptional(weight),
          new TensorOptional(bias),
          eps,
          true);
    }
  }

  /** Llama's RMSNorm: x·rsqrt(mean(x²) + ε) in fp32, rounded to the dtype of x, then weighted. */
  record RmsNorm(Tensor weight, double eps) implements Module {
    static RmsNorm of(Modules modules, String name, long width, double eps) {
      return new RmsNorm(modules.parameter(name + ".weight", width), eps);
    }

    @Override
    public Tensor forward(Tensor x) {
      Tensor x32 = x.to(ScalarType.Float);
      Tensor meanSquare = x32.mul(x32).mean(new long[] {-1}, true, new ScalarTypeOptional());
      Tensor normalised = x32.mul(meanSquare.add(new Scalar(eps)).rsqrt());
      return normalised.to(x.scalar_type()).mul(weight);
    }
  }
}
