package org.sightline.benchmarks;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.AlignmentLoss;
import org.sightline.AlignmentProjector;
import org.sightline.ProjectorConfig;

/**
 * Alignment loss and the gradient of the hidden states, projector frozen: as a node of libtorch's
 * graph, or as the bare call, which like the floor writes into buffers that are there already.
 */
final class AlignmentWorkload extends Workload {
  private final AlignmentShape shape;
  private final Precision precision;
  private final Tensor hidden;
  private final Tensor teacher;
  private final Supplier<Tensor[]> sightline;
  private final Supplier<Tensor[]> eager;
  private final Floor floor;

  /**
   * Draws weights and inputs.
   *
   * @param graph whether Sightline goes through libtorch's graph; its rivals always do
   * @param rivalsOnly leaves Sightline out, not even loading its classes' natives
   */
  AlignmentWorkload(AlignmentShape shape, Precision precision, boolean graph, boolean rivalsOnly) {
    this.shape = shape;
    this.precision = precision;
    ScalarType dtype = precision.scalarType;
    try (PointerScope scope = new PointerScope()) {
      hidden = arena.keep(Torch.randn(2, dtype, shape.batch(), shape.tokens(), shape.hiddenSize()));
      hidden.set_requires_grad(true);
      teacher =
          arena.keep(Torch.randn(1, dtype, shape.batch(), shape.tokens(), shape.teacherSize()));
      Map<String, Tensor> weights = weights(dtype);

      boolean viaFp32 =
          Bf16Products.rivalsUseFp32(
              precision, shape.rows(), shape.projectorSize(), shape.hiddenSize());
      ScalarType rivalDtype = viaFp32 ? ScalarType.Float : dtype;
      Map<String, Tensor> rivalWeights = new LinkedHashMap<>();
      weights.forEach((name, w) -> rivalWeights.put(name, arena.keep(w.to(rivalDtype))));
      eager = () -> compose(rivalWeights, rivalDtype);
      floor = new Floor(rivalWeights, rivalDtype);

      if (rivalsOnly) {
        sightline = null;
      } else {
        AlignmentLoss alignment = alignment(weights);
        sightline = graph ? inGraph(alignment) : bareCall(alignment, dtype);
        // The bare call makes no objects a scope would have to close.
        contender("sightline", Role.SIGHTLINE, graph ? () -> run(sightline) : sightline::get);
      }
      contender(viaFp32 ? "eager via fp32" : "eager", Role.EAGER, () -> run(eager));
      contender(viaFp32 ? "six GEMMs in fp32" : "six GEMMs", Role.FLOOR, floor);
    }
  }

  private Map<String, Tensor> weights(ScalarType dtype) {
    long d = shape.hiddenSize();
    long p = shape.projectorSize();
    long z = shape.teacherSize();
    Map<String, Tensor> weights = new LinkedHashMap<>();
    weights.put(
        "net.0.weight", Torch.randn(0.1, ScalarType.Float, d).add_(new Scalar(1.0)).to(dtype));
    weights.put("net.0.bias", Torch.randn(0.1, dtype, d));
    weights.put("net.1.weight", Torch.linearWeight(dtype, d, p, d));
    weights.put("net.1.bias", Torch.linearWeight(dtype, d, p));
    weights.put("net.4.weight", Torch.linearWeight(dtype, p, p, p));
    weights.put("net.4.bias", Torch.linearWeight(dtype, p, p));
    weights.put("net.7.weight", Torch.linearWeight(dtype, p, z, p));
    weights.put("net.7.bias", Torch.linearWeight(dtype, p, z));
    return weights;
  }

  private AlignmentLoss alignment(Map<String, Tensor> weights) {
    ProjectorConfig config =
        new ProjectorConfig(
            shape.hiddenSize(),
            shape.projectorSize(),
            shape.teacherSize(),
            false,
            0,
            precision.dtype,
            0);
    // Held in fp32 as the paper's projector is; the products run in the precision of the inputs.
    Map<String, Tensor> held = new LinkedHashMap<>();
    weights.forEach((name, weight) -> held.put(name, weight.to(ScalarType.Float)));
    AlignmentProjector projector = arena.closing(AlignmentProjector.of(config, held));
    return arena.closing(new AlignmentLoss(projector));
  }

  private Supplier<Tensor[]> inGraph(AlignmentLoss alignment) {
    return () -> {
      AlignmentLoss.Result result = alignment.forward(hidden, 0, teacher);
      try (Tensor loss = result.loss();
          Tensor cosine = result.cosine()) {
        return new Tensor[] {loss.detach(), cosine.detach(), gradient(loss)};
      }
    };
  }

  private Supplier<Tensor[]> bareCall(AlignmentLoss alignment, ScalarType dtype) {
    Tensor loss = arena.keep(Torch.empty(ScalarType.Float));
    Tensor cosine = arena.keep(Torch.empty(ScalarType.Float, shape.batch(), shape.tokens()));
    Tensor gradient =
        arena.keep(Torch.empty(dtype, shape.batch(), shape.tokens(), shape.hiddenSize()));
    Tensor[] results = {loss, cosine, gradient};
    return () -> {
      alignment.lossAndGradient(hidden, 0, teacher, null, loss, cosine, gradient);
      return results;
    };
  }

  /** The paper's code, operation by operation. */
  private Tensor[] compose(Map<String, Tensor> weights, ScalarType dtype) {
    Tensor x =
        torch.layer_norm(
            hidden.to(dtype),
            new long[] {shape.hiddenSize()},
            new TensorOptional(weights.get("net.0.weight")),
            new TensorOptional(weights.get("net.0.bias")),
            1e-5,
            false);
    Tensor a1 = torch.silu(linear(x, weights, "net.1"));
    Tensor a2 = torch.silu(linear(a1, weights, "net.4"));
    Tensor z = linear(a2, weights, "net.7");
    Tensor cosine = torch.cosine_similarity(z, teacher.to(dtype), -1, 1e-12);
    Tensor loss = cosine.mean().neg();
    return new Tensor[] {loss.detach(), cosine.detach(), gradient(loss)};
  }

  private static Tensor linear(Tensor x, Map<String, Tensor> weights, String name) {
    return torch.linear(
        x, weights.get(name + ".weight"), new TensorOptional(weights.get(name + ".bias")));
  }

  private Tensor gradient(Tensor loss) {
    return Torch.grad(List.of(loss), List.of(hidden), List.of(), false).get(0);
  }

  private static void run(Supplier<Tensor[]> work) {
    try (PointerScope scope = new PointerScope()) {
      work.get();
    }
  }

  /** The six products alone, into buffers that are there already. */
  private final class Floor implements Runnable {
    private final Tensor x;
    private final Tensor w1;
    private final Tensor w2;
    private final Tensor w3;
    private final Tensor w1t;
    private final Tensor w2t;
    private final Tensor w3t;
    private final Tensor u;
    private final Tensor v;
    private final Tensor z;
    private final Tensor dv;
    private final Tensor du;
    private final Tensor dx;

    Floor(Map<String, Tensor> weights, ScalarType dtype) {
      w1 = weights.get("net.1.weight");
      w2 = weights.get("net.4.weight");
      w3 = weights.get("net.7.weight");
      w1t = arena.keep(w1.t());
      w2t = arena.keep(w2.t());
      w3t = arena.keep(w3.t());
      long m = shape.rows();
      x = arena.keep(Torch.empty(dtype, m, shape.hiddenSize()));
      u = arena.keep(Torch.empty(dtype, m, shape.projectorSize()));
      v = arena.keep(Torch.empty(dtype, m, shape.projectorSize()));
      z = arena.keep(Torch.empty(dtype, m, shape.teacherSize()));
      dv = arena.keep(Torch.empty(dtype, m, shape.projectorSize()));
      du = arena.keep(Torch.empty(dtype, m, shape.projectorSize()));
      dx = arena.keep(Torch.empty(dtype, m, shape.hiddenSize()));
      refill();
    }

    void refill() {
      try (PointerScope scope = new PointerScope()) {
        Torch.copy(hidden.detach().view(shape.rows(), shape.hiddenSize()), x);
      }
    }

    @Override
    public void run() {
      try (PointerScope scope = new PointerScope()) {
        torch.mm_out(u, x, w1t);
        torch.mm_out(v, u, w2t);
        torch.mm_out(z, v, w3t);
        torch.mm_out(dv, z, w3);
        torch.mm_out(du, dv, w2);
        torch.mm_out(dx, du, w1);
      }
    }
  }

  @Override
  void refresh() {
    Torch.refill(hidden, 2);
    Torch.refill(teacher, 1);
    floor.refill();
  }

  @Override
  double flops() {
    return shape.flops();
  }

  @Override
  double disagreement() {
    try (PointerScope scope = new PointerScope()) {
      Tensor[] ours = sightline.get();
      Tensor[] theirs = eager.get();
      // Cosines of random vectors average to almost nothing: their mean has no relative error.
      double loss = Math.abs(ours[0].item_double() - theirs[0].item_double());
      return Math.max(
          loss, Torch.relativeError(List.of(ours[1], ours[2]), List.of(theirs[1], theirs[2])));
    }
  }

  @Override
  double tolerance() {
    return precision.tolerance;
  }
}
