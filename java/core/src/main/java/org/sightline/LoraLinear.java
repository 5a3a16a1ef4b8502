package org.sightline;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * A frozen linear layer with a trained low-rank adapter: y = xWᵀ + b + s·(drop(x)Aᵀ)Bᵀ (Hu et al.,
 * arXiv 2106.09685).
 */
public final class LoraLinear implements AutoCloseable {
  private final Tensor weight;
  private final Tensor bias;
  private final Tensor loraA;
  private final Tensor loraB;
  private final LoraConfig config;
  private final Lifetime lifetime = new Lifetime("LoraLinear");
  private boolean training = true;
  private boolean merged;

  /**
   * Wraps a frozen linear layer.
   *
   * @param weight [N,K] fp32 or bf16, frozen; the storage is shared, the handle is not
   * @param bias [N] or null
   * @param config rank, scale, dropout, initial values
   * @param adapterDtype dtype of A and B
   * @param seed of A's initial values and of the dropout masks
   */
  public LoraLinear(Tensor weight, Tensor bias, LoraConfig config, DType adapterDtype, long seed) {
    this.config = Objects.requireNonNull(config, "config");
    Tensors.requireKernelDType("weight", weight);
    if (weight.dim() != 2) {
      throw new IllegalArgumentException(
          "weight must be [N,K], found " + weight.dim() + " dimensions");
    }
    long n = weight.size(0);
    long k = weight.size(1);
    if (bias != null) {
      Tensors.requireShape("bias", bias, n);
    }
    this.weight = Tensors.own(weight.detach());
    this.bias = bias == null ? null : Tensors.own(bias.detach());
    try (PointerScope scope = new PointerScope();
        NoGradGuard noGrad = new NoGradGuard()) {
      Generator generator = torch.createCPUGenerator(seed);
      GeneratorOptional from = new GeneratorOptional(generator);
      Tensor a = torch.empty(new long[] {config.rank(), k});
      switch (config.init()) {
        case KAIMING_UNIFORM -> {
          double bound = 1 / Math.sqrt(k);
          a.uniform_(-bound, bound, from);
        }
        case GAUSSIAN -> a.normal_(0, 1.0 / config.rank(), from);
      }
      ScalarType dtype = adapterDtype.scalarType();
      loraA = Tensors.own(a.to(dtype));
      loraB = Tensors.own(torch.zeros(new long[] {n, config.rank()}).to(dtype));
    }
    loraA.set_requires_grad(true);
    loraB.set_requires_grad(true);
  }

  /**
   * Applies the layer.
   *
   * @param x [...,K] fp32 or bf16
   * @return [...,N], dtype of x
   */
  public Tensor forward(Tensor x) {
    return forward(x, List.of(this)).get(0);
  }

  /** Applies several layers to one input (q, k, v; gate, up). */
  public static List<Tensor> forward(Tensor x, List<LoraLinear> linears) {
    List<Tensor> outputs = new ArrayList<>(linears.size());
    for (LoraLinear linear : linears) {
      linear.lifetime.check();
      outputs.add(linear.compose(x));
    }
    return List.copyOf(outputs);
  }

  private Tensor compose(Tensor x) {
    try (PointerScope scope = new PointerScope()) {
      ScalarType dtype = Tensors.dtype(x);
      Tensor base =
          bias == null
              ? torch.linear(x, weight.to(dtype))
              : torch.linear(x, weight.to(dtype), new TensorOptional(bias.to(dtype)));
      if (!merged) {
        Tensor dropped = torch.dropout(x, config.dropout(), training);
        Tensor delta = torch.linear(torch.linear(dropped, loraA.to(dtype)), loraB.to(dtype));
        base = base.add(delta.mul(Tensors.scalar(config.scale())));
      }
      return Tensors.own(base);
    }
  }

  /** The frozen weight [N,K]; with the adapter added to it while merged. */
  public Tensor weight() {
    lifetime.check();
    return weight;
  }

  /** The frozen bias [N], or null. */
  public Tensor bias() {
    lifetime.check();
    return bias;
  }

  /** A [r,K], requires grad. */
  public Tensor loraA() {
    lifetime.check();
    return loraA;
  }

  /** B [N,r], requires grad. */
  public Tensor loraB() {
    lifetime.check();
    return loraB;
  }

  public LoraConfig config() {
    return config;
  }

  /** Switches dropout on (initially) or off. */
  public void train(boolean training) {
    lifetime.check();
    this.training = training;
  }

  /** Adds s·BA to the weight, in place; {@link #forward} then runs the plain layer. */
  public void merge() {
    lifetime.check();
    if (merged) {
      throw new IllegalStateException("adapter is already merged");
    }
    addDelta(config.scale());
    merged = true;
  }

  /** Takes s·BA out of the weight again. */
  public void unmerge() {
    lifetime.check();
    if (!merged) {
      throw new IllegalStateException("adapter is not merged");
    }
    addDelta(-config.scale());
    merged = false;
  }

  public boolean isMerged() {
    return merged;
  }

  private void addDelta(double scale) {
    try (PointerScope scope = new PointerScope();
        NoGradGuard noGrad = new NoGradGuard()) {
      Tensor delta = loraB.to(ScalarType.Float).mm(loraA.to(ScalarType.Float));
      weight.add_(delta.to(Tensors.dtype(weight)), Tensors.scalar(scale));
    }
  }

  @Override
  public void close() {
    if (lifetime.close()) {
      weight.close();
      if (bias != null) {
        bias.close();
      }
      loraA.close();
      loraB.close();
    }
  }
}
