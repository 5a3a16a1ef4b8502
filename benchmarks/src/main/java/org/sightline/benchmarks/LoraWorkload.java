package org.sightline.benchmarks;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Supplier;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.LoraConfig;
import org.sightline.LoraLinear;

/**
 * LoRA linear layers on one input, base weight frozen: the forward pass (recorded for autograd, as
 * in training), or the backward pass alone (dx, dA, dB) through a graph that is kept.
 */
final class LoraWorkload extends Workload {
  /** Which pass is timed. */
  enum Pass {
    FORWARD,
    BACKWARD
  }

  private final LoraShape shape;
  private final Precision precision;
  private final Pass pass;
  private final double scale;
  private final Tensor x;
  private final List<Tensor> outputGrads = new ArrayList<>();
  private final Side sightline;
  private final Side eager;
  private final Floor floor;

  /** A way to compute the outputs, and what its backward pass needs. */
  private static final class Side {
    final Supplier<List<Tensor>> forward;
    final List<Tensor> leaves;
    List<Tensor> outputs = List.of();

    Side(Supplier<List<Tensor>> forward, List<Tensor> leaves) {
      this.forward = forward;
      this.leaves = leaves;
    }

    /** Runs the forward pass and keeps its graph. */
    void record() {
      forget();
      try (PointerScope scope = new PointerScope()) {
        outputs = forward.get();
        outputs.forEach(Tensor::retainReference);
      }
    }

    void forget() {
      outputs.forEach(Tensor::close);
      outputs = List.of();
    }
  }

  /**
   * Draws weights and inputs.
   *
   * @param rivalsOnly leaves Sightline out, not even loading its classes' natives
   */
  LoraWorkload(LoraShape shape, Precision precision, Pass pass, boolean rivalsOnly) {
    this.shape = shape;
    this.precision = precision;
    this.pass = pass;
    // OpenVLA's α = 16 at r = 32.
    LoraConfig config = LoraConfig.of(shape.rank(), shape.rank() / 2.0);
    this.scale = config.scale();
    ScalarType dtype = precision.scalarType;
    boolean viaFp32 =
        Bf16Products.rivalsUseFp32(precision, shape.rows(), shape.out().get(0), shape.in());
    ScalarType rivalDtype = viaFp32 ? ScalarType.Float : dtype;
    try (PointerScope scope = new PointerScope()) {
      x = arena.keep(Torch.randn(1, dtype, shape.rows(), shape.in()));
      x.set_requires_grad(true);
      List<Tensor> weights = new ArrayList<>();
      List<Tensor> a = new ArrayList<>();
      List<Tensor> b = new ArrayList<>();
      for (long out : shape.out()) {
        outputGrads.add(arena.keep(Torch.randn(1, dtype, shape.rows(), out)));
        weights.add(Torch.linearWeight(dtype, shape.in(), out, shape.in()));
        a.add(leaf(Torch.linearWeight(dtype, shape.in(), shape.rank(), shape.in())));
        // Not PEFT's zeros: a B that is zero would hide a wrong dA and a wrong delta.
        b.add(leaf(Torch.randn(0.05, dtype, out, shape.rank())));
      }
      List<Tensor> rivalWeights =
          weights.stream().map(weight -> arena.keep(weight.to(rivalDtype))).toList();
      eager = new Side(() -> compose(rivalWeights, a, b, rivalDtype), leaves(a, b));
      floor = new Floor(rivalWeights, rivalDtype);
      if (rivalsOnly) {
        sightline = null;
      } else {
        sightline = fused(weights, a, b, config);
        contender("sightline", Role.SIGHTLINE, timed(sightline));
      }
      contender(viaFp32 ? "eager via fp32" : "eager", Role.EAGER, timed(eager));
      contender(viaFp32 ? "base GEMM in fp32" : "base GEMM", Role.FLOOR, floor);
    }
    if (pass == Pass.BACKWARD) {
      recordGraphs();
    }
  }

  private Tensor leaf(Tensor tensor) {
    arena.keep(tensor);
    tensor.set_requires_grad(true);
    return tensor;
  }

  /** x, then A and B of every linear. */
  private List<Tensor> leaves(List<Tensor> a, List<Tensor> b) {
    List<Tensor> leaves = new ArrayList<>(List.of(x));
    for (int i = 0; i < a.size(); i++) {
      leaves.add(a.get(i));
      leaves.add(b.get(i));
    }
    return leaves;
  }

  private Side fused(List<Tensor> weights, List<Tensor> a, List<Tensor> b, LoraConfig config) {
    List<LoraLinear> linears = new ArrayList<>();
    List<Tensor> ownA = new ArrayList<>();
    List<Tensor> ownB = new ArrayList<>();
    for (int i = 0; i < weights.size(); i++) {
      LoraLinear linear =
          arena.closing(new LoraLinear(weights.get(i), null, config, precision.dtype, i));
      Torch.copy(a.get(i), linear.loraA());
      Torch.copy(b.get(i), linear.loraB());
      linears.add(linear);
      ownA.add(linear.loraA());
      ownB.add(linear.loraB());
    }
    return new Side(() -> LoraLinear.forward(x, linears), leaves(ownA, ownB));
  }

  /** PEFT's composition: three products and a scaled sum for each linear. */
  private List<Tensor> compose(
      List<Tensor> weights, List<Tensor> a, List<Tensor> b, ScalarType dtype) {
    Tensor input = x.to(dtype);
    List<Tensor> outputs = new ArrayList<>();
    for (int i = 0; i < weights.size(); i++) {
      Tensor s = torch.linear(input, a.get(i).to(dtype));
      Tensor delta = torch.linear(s, b.get(i).to(dtype));
      Tensor y = torch.linear(input, weights.get(i)).add(delta, new Scalar(scale));
      outputs.add(y.to(precision.scalarType));
    }
    return outputs;
  }

  private Runnable timed(Side side) {
    return switch (pass) {
      case FORWARD ->
          () -> {
            try (PointerScope scope = new PointerScope()) {
              side.forward.get().forEach(Tensor::close);
            }
          };
      case BACKWARD ->
          () -> {
            try (PointerScope scope = new PointerScope()) {
              Torch.grad(side.outputs, side.leaves, outputGrads, true);
            }
          };
    };
  }

  /** The base products alone, into buffers that are there already. */
  private final class Floor implements Runnable {
    private final Tensor input;
    private final Tensor inputGrad;
    private final List<Tensor> weights;
    private final List<Tensor> transposed = new ArrayList<>();
    private final List<Tensor> outputs = new ArrayList<>();

    Floor(List<Tensor> weights, ScalarType dtype) {
      this.weights = weights;
      input = arena.keep(Torch.empty(dtype, shape.rows(), shape.in()));
      inputGrad = arena.keep(Torch.empty(dtype, shape.rows(), shape.in()));
      for (Tensor weight : weights) {
        transposed.add(arena.keep(weight.t()));
        outputs.add(arena.keep(Torch.empty(dtype, shape.rows(), weight.size(0))));
      }
      refill();
    }

    void refill() {
      Torch.copy(x, input);
      for (int i = 0; i < outputs.size(); i++) {
        Torch.copy(outputGrads.get(i), outputs.get(i));
      }
    }

    @Override
    public void run() {
      try (PointerScope scope = new PointerScope()) {
        for (int i = 0; i < weights.size(); i++) {
          switch (pass) {
            case FORWARD -> torch.mm_out(outputs.get(i), input, transposed.get(i));
            case BACKWARD -> torch.mm_out(inputGrad, outputs.get(i), weights.get(i));
          }
        }
      }
    }
  }

  @Override
  void refresh() {
    Torch.refill(x, 1);
    outputGrads.forEach(grad -> Torch.refill(grad, 1));
    floor.refill();
    if (pass == Pass.BACKWARD) {
      recordGraphs();
    }
  }

  private void recordGraphs() {
    for (Side side : Arrays.asList(sightline, eager)) {
      if (side != null) {
        side.record();
      }
    }
  }

  @Override
  double flops() {
    return pass == Pass.FORWARD ? shape.forwardFlops() : shape.backwardFlops();
  }

  @Override
  double disagreement() {
    try (PointerScope scope = new PointerScope()) {
      return Torch.relativeError(results(sightline), results(eager));
    }
  }

  private List<Tensor> results(Side side) {
    List<Tensor> outputs = side.forward.get();
    return switch (pass) {
      case FORWARD -> outputs;
      case BACKWARD -> List.of(Torch.grad(outputs, side.leaves, outputGrads, false).get());
    };
  }

  @Override
  double tolerance() {
    return precision.tolerance;
  }

  @Override
  public void close() {
    for (Side side : Arrays.asList(sightline, eager)) {
      if (side != null) {
        side.forget();
      }
    }
    super.close();
  }
}
