package org.sightline;

import static java.util.Comparator.comparingLong;

import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.function.Supplier;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.InferenceMode;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.binding.Scopes;

/**
 * A frozen linear layer with a trained low-rank adapter: y = xWᵀ + b + s·(drop(x)Aᵀ)Bᵀ (Hu et al.,
 * arXiv 2106.09685), one native call forward and one backward.
 *
 * <p>Differentiable in x, A and B; the weight and bias never receive gradients. Products run in the
 * dtype of x with fp32 sums; weight and adapter may have another dtype than x.
 *
 * <p>Thread-safe, but for {@link #merge} and {@link #unmerge}, which change the weight in place.
 */
public final class LoraLinear extends DropoutModule {
  private final Tensor weight;
  private final Tensor bias;
  private final Tensor loraA;
  private final Tensor loraB;
  private final LoraConfig config;
  private volatile boolean merged;

  /**
   * Wraps a frozen linear layer.
   *
   * @param weight [N,K] fp32 or bf16, frozen; the storage is shared, the handle is not
   * @param bias [N] fp32 or bf16, or null; shared likewise
   * @param config rank, scale, dropout, initial values
   * @param adapterDtype dtype of A and B
   * @param seed of A's initial values and of the dropout masks
   * @throws IllegalArgumentException if a tensor has the wrong shape or dtype
   */
  public LoraLinear(Tensor weight, Tensor bias, LoraConfig config, DType adapterDtype, long seed) {
    super("LoraLinear", seed);
    Sightline.load();
    this.config = Objects.requireNonNull(config, "config");
    Objects.requireNonNull(adapterDtype, "adapterDtype");
    Checks.dims("weight", Objects.requireNonNull(weight, "weight"), 2, "[N,K]");
    Checks.kernelDType("weight", weight);
    Checks.stored("weight", weight);
    if (weight.numel() == 0) {
      throw new IllegalArgumentException(
          "weight must have elements, found shape " + Arrays.toString(Tensors.shape(weight)));
    }
    if (bias != null) {
      Checks.shape("bias", bias, weight.size(0));
      Checks.kernelDType("bias", bias);
      Checks.stored("bias", bias);
    }
    try (PointerScope scope = new PointerScope();
        InferenceMode normal = new InferenceMode(false);
        NoGradGuard noGrad = new NoGradGuard()) {
      this.weight = Scopes.own(weight.detach());
      this.bias = bias == null ? null : Scopes.own(bias.detach());
      ScalarType dtype = adapterDtype.scalarType();
      long rows = weight.size(0);
      long columns = weight.size(1);
      Tensor a = config.init().draw(config.rank(), columns, seed);
      loraA = Scopes.own(Tensors.empty(weight, dtype, config.rank(), columns).copy_(a));
      loraB = Scopes.own(Tensors.empty(weight, dtype, rows, config.rank()).zero_());
    }
    loraA.set_requires_grad(true);
    loraB.set_requires_grad(true);
  }

  /**
   * Applies the layer.
   *
   * @param x [...,K] fp32 or bf16
   * @return [...,N], dtype of x
   * @throws IllegalArgumentException if shape or dtype do not fit
   * @throws UnsupportedOperationException if no backend for the device of x is available
   * @throws IllegalStateException after {@link #close}
   */
  public Tensor forward(Tensor x) {
    return forward(x, List.of(this)).get(0);
  }

  /**
   * Applies several layers to one input (q, k, v; gate, up), which is read once for all adapters.
   *
   * @param x [...,K] fp32 or bf16
   * @return one output per layer, as {@link #forward(Tensor)}
   */
  public static List<Tensor> forward(Tensor x, List<LoraLinear> linears) {
    Objects.requireNonNull(x, "x");
    if (x.dim() < 1) {
      throw new IllegalArgumentException("x must be [...,K], found a tensor without dimensions");
    }
    if (linears.isEmpty()) {
      throw new IllegalArgumentException("linears must have at least 1 layer, found none");
    }
    Checks.kernelDType("x", x);
    Checks.strided("x", x);
    List<LoraLinear> ordered =
        linears.stream().sorted(comparingLong(linear -> linear.lifetime.number())).toList();
    return using(ordered, 0, () -> forwardOpen(x, linears));
  }

  private static List<Tensor> forwardOpen(Tensor x, List<LoraLinear> linears) {
    LoraLinear first = linears.get(0);
    for (LoraLinear linear : linears) {
      linear.requireColumns(x);
      // Dropout is one setting of the native call; a merged layer has none any more.
      if (linear.merged || linear.dropout() != first.dropout()) {
        return linears.stream().map(each -> each.forwardAlone(x)).toList();
      }
    }
    return forwardStacked(x, linears);
  }

  private void requireColumns(Tensor x) {
    long expected = weight.size(1);
    if (x.size(x.dim() - 1) != expected) {
      throw new IllegalArgumentException(
          "x must have %s columns as weight has, found shape %s"
              .formatted(expected, Arrays.toString(Tensors.shape(x))));
    }
  }

  private Tensor forwardAlone(Tensor x) {
    return merged ? plain(x) : forwardStacked(x, List.of(this)).get(0);
  }

  private static List<Tensor> forwardStacked(Tensor x, List<LoraLinear> linears) {
    List<NativeLora.Adapter> layers = linears.stream().map(LoraLinear::adapter).toList();
    return new LoraFunction(layers, linears.get(0).dropout()).of(x);
  }

  private NativeLora.Adapter adapter() {
    return new NativeLora.Adapter(weight, bias, loraA, loraB, config.scale(), nextDropoutSeed());
  }

  /** Keeps every layer open while {@code action} runs. */
  private static List<Tensor> using(
      List<LoraLinear> linears, int from, Supplier<List<Tensor>> action) {
    return from == linears.size()
        ? action.get()
        : linears.get(from).lifetime.use(() -> using(linears, from + 1, action));
  }

  /** The adapter is in the weight: what is left is libtorch's own linear layer. */
  private Tensor plain(Tensor x) {
    ScalarType dtype = Tensors.dtype(x);
    return Scopes.scoped(
        () -> {
          Tensor w = weight.to(dtype);
          return bias == null
              ? torch.linear(x, w)
              : torch.linear(x, w, new TensorOptional(bias.to(dtype)));
        });
  }

  private double dropout() {
    return isTraining() ? config.dropout() : 0;
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

  /** B [N,r], requires grad; starts at zero. */
  public Tensor loraB() {
    lifetime.check();
    return loraB;
  }

  public LoraConfig config() {
    return config;
  }

  /**
   * Adds s·BA to the weight, in place and rounded to nearest; {@link #forward} then runs the plain
   * layer.
   *
   * @throws IllegalArgumentException if a sum is not finite, for instance beyond the range of the
   *     weight's dtype; the weight is then as it was
   * @throws IllegalStateException if it is merged already
   */
  public void merge() {
    lifetime.useAlone(
        () -> {
          if (merged) {
            throw new IllegalStateException("the adapter is already merged into the weight");
          }
          mergeIfFinite();
          merged = true;
        });
  }

  private void mergeIfFinite() {
    Checks.writable("weight", weight);
    try (PointerScope scope = new PointerScope();
        NoGradGuard noGrad = new NoGradGuard()) {
      Tensor before = weight.clone();
      NativeLora.merge(weight, loraA, loraB, config.scale());
      try {
        Finite.require("weight + s·BA", weight);
      } catch (IllegalArgumentException e) {
        weight.copy_(before);
        throw e;
      }
    }
  }

  /**
   * Takes s·BA out of the weight again. In fp32 it then is within 2 ulp of what it was, in bf16
   * within 1, of the larger of |weight| and |weight + s·BA|; keep a copy for an exact return.
   *
   * @throws IllegalStateException if it is not merged
   */
  public void unmerge() {
    lifetime.useAlone(
        () -> {
          if (!merged) {
            throw new IllegalStateException("the adapter is not merged into the weight");
          }
          Checks.writable("weight", weight);
          NativeLora.merge(weight, loraA, loraB, -config.scale());
          merged = false;
        });
  }

  public boolean isMerged() {
    return merged;
  }

  @Override
  public void close() {
    lifetime.close(
        () -> {
          weight.close();
          if (bias != null) {
            bias.close();
          }
          loraA.close();
          loraB.close();
        });
  }
}
