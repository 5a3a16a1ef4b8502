package org.sightline;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The operations written plainly in libtorch and fp64, differentiated by libtorch's autograd. */
final class Oracle {
  private Oracle() {}

  /** loss and cosine [B,N] of the alignment loss. */
  static List<Tensor> alignment(
      Map<String, Tensor> parameters, Tensor hidden, long first, Tensor teacher, Tensor weights) {
    long tokens = teacher.size(1);
    Tensor h =
        torch.layer_norm(
            hidden.narrow(1, first, tokens),
            new long[] {hidden.size(2)},
            new TensorOptional(parameters.get("net.0.weight")),
            new TensorOptional(parameters.get("net.0.bias")),
            1e-5,
            false);
    Tensor z =
        linear(
            parameters,
            "net.7",
            torch.silu(linear(parameters, "net.4", torch.silu(linear(parameters, "net.1", h)))));
    Tensor cosine = normalize(z).mul(normalize(teacher)).sum(-1);
    Tensor loss =
        weights == null ? cosine.mean().neg() : cosine.mul(weights).sum().div(weights.sum()).neg();
    return List.of(loss, cosine);
  }

  private static Tensor normalize(Tensor x) {
    Tensor norm = x.mul(x).sum(new long[] {-1}, true, new ScalarTypeOptional());
    return x.div(norm.sqrt().clamp_min(new Scalar(1e-12)));
  }

  private static Tensor linear(Map<String, Tensor> parameters, String name, Tensor x) {
    return torch.linear(
        x, parameters.get(name + ".weight"), new TensorOptional(parameters.get(name + ".bias")));
  }

  /** y = xWᵀ + b + s (xAᵀ)Bᵀ. */
  static Tensor lora(Tensor x, Tensor weight, Tensor bias, Tensor a, Tensor b, double scale) {
    Tensor y = torch.linear(x, weight);
    if (bias != null) {
      y = y.add(bias);
    }
    return y.add(torch.linear(torch.linear(x, a), b).mul(new Scalar(scale)));
  }

  /** A leaf in fp64 with the same values. */
  static Tensor wide(Tensor tensor) {
    return tensor.detach().to(ScalarType.Double).clone().set_requires_grad(tensor.requires_grad());
  }

  static Map<String, Tensor> wide(Map<String, Tensor> tensors) {
    Map<String, Tensor> result = new LinkedHashMap<>();
    tensors.forEach((name, tensor) -> result.put(name, wide(tensor)));
    return result;
  }

  /** Signed values with an outlier channel: what activations of a transformer look like. */
  static Tensor activations(Random random, ScalarType dtype, long... shape) {
    torch.manual_seed(random.nextLong());
    Tensor x = torch.randn(shape).add(new Scalar(0.3));
    long channels = shape[shape.length - 1];
    x.select(shape.length - 1, random.nextInt((int) channels)).mul_(new Scalar(20));
    return x.to(dtype);
  }

  static Tensor normal(Random random, ScalarType dtype, double scale, long... shape) {
    torch.manual_seed(random.nextLong());
    return torch.randn(shape).mul(new Scalar(scale)).to(dtype);
  }

  /** ‖actual − expected‖ / ‖expected‖ ≤ tolerance. */
  static void assertClose(Tensor expected, Tensor actual, double tolerance, String what) {
    assertTrue(actual.defined(), () -> what + " is undefined");
    List<Long> shapes = new ArrayList<>();
    for (Tensor t : List.of(expected, actual)) {
      for (long size : Tensors.shape(t)) {
        shapes.add(size);
      }
    }
    int dims = shapes.size() / 2;
    assertTrue(
        shapes.subList(0, dims).equals(shapes.subList(dims, shapes.size())),
        () -> what + ": shapes differ: " + shapes);
    Tensor wide = expected.detach().to(ScalarType.Double);
    double error = actual.detach().to(ScalarType.Double).sub(wide).norm().item_double();
    double size = wide.norm().item_double();
    assertTrue(
        error <= tolerance * size || (error == 0 && size == 0),
        () -> what + ": relative error " + error / size + ", tolerance " + tolerance);
  }

  /** Tolerances of native/README.md by the narrowest dtype in play. */
  static double tolerance(boolean bfloat16) {
    return bfloat16 ? 8e-3 : 1e-5;
  }
}
