package org.sightline;

import static java.util.Comparator.comparingLong;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.function.Supplier;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.InferenceMode;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.autograd.HasRngState;
import org.sightline.binding.Scopes;
import org.sightline.binding.sightline;
import org.sightline.binding.sl_context;
import org.sightline.binding.sl_tensor;

/**
 * A frozen linear layer with a trained low-rank adapter: y = xWᵀ + b + s·(drop(x)Aᵀ)Bᵀ (Hu et al.,
 * arXiv 2106.09685), one native call forward and one backward.
 *
 * <p>Differentiable in x, A and B; the weight and bias never receive gradients. Products run in the
 * dtype of x with fp32 sums; weight and adapter may have another dtype than x.
 *
 * <p>Thread-safe, but for {@link #merge} and {@link #unmerge}, which change the weight in place.
 */
public final class LoraLinear implements HasRngState, AutoCloseable {
  private final Tensor weight;
  private final Tensor bias;
  private final Tensor loraA;
  private final Tensor loraB;
  private final LoraConfig config;
  private final Seeds dropoutSeeds;
  private final Lifetime lifetime = new Lifetime("LoraLinear");
  private volatile boolean training = true;
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
    Sightline.load();
    this.config = Objects.requireNonNull(config, "config");
    Objects.requireNonNull(adapterDtype, "adapterDtype");
    Tensors.requireDims("weight", Objects.requireNonNull(weight, "weight"), 2, "[N,K]");
    Tensors.requireKernelDType("weight", weight);
    Tensors.requireStored("weight", weight);
    if (weight.numel() == 0) {
      throw new IllegalArgumentException(
          "weight must have elements, found shape " + Arrays.toString(Tensors.shape(weight)));
    }
    if (bias != null) {
      Tensors.requireShape("bias", bias, weight.size(0));
      Tensors.requireKernelDType("bias", bias);
      Tensors.requireStored("bias", bias);
    }
    try (PointerScope scope = new PointerScope();
        InferenceMode normal = new InferenceMode(false);
        NoGradGuard noGrad = new NoGradGuard()) {
      this.weight = Scopes.own(weight.detach());
      this.bias = bias == null ? null : Scopes.own(bias.detach());
      this.loraA = Scopes.own(initialA(weight, config, adapterDtype, seed));
      this.loraB =
          Scopes.own(
              Tensors.empty(weight, adapterDtype.scalarType(), weight.size(0), config.rank())
                  .zero_());
    }
    loraA.set_requires_grad(true);
    loraB.set_requires_grad(true);
    dropoutSeeds = new Seeds(seed);
  }

  private static Tensor initialA(Tensor weight, LoraConfig config, DType dtype, long seed) {
    long columns = weight.size(1);
    // Drawn on the CPU in fp32, so that a seed means the same for every device and dtype.
    Tensor a = torch.empty(config.rank(), columns);
    Generator generator = torch.createCPUGenerator(seed);
    GeneratorOptional from = new GeneratorOptional(generator);
    switch (config.init()) {
      case KAIMING_UNIFORM -> {
        double bound = 1 / Math.sqrt(columns);
        a.uniform_(-bound, bound, from);
      }
      case GAUSSIAN -> a.normal_(0, 1.0 / config.rank(), from);
    }
    Tensor result = Tensors.empty(weight, dtype.scalarType(), config.rank(), columns);
    return result.copy_(a);
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
    Tensors.requireKernelDType("x", x);
    Tensors.requireStrided("x", x);
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
          "x must have "
              + expected
              + " columns as weight has, found shape "
              + Arrays.toString(Tensors.shape(x)));
    }
  }

  private Tensor forwardAlone(Tensor x) {
    return merged ? plain(x) : forwardStacked(x, List.of(this)).get(0);
  }

  private static List<Tensor> forwardStacked(Tensor x, List<LoraLinear> linears) {
    List<LoraFunction.Frozen> layers = new ArrayList<>(linears.size());
    Tensor[] inputs = new Tensor[1 + 2 * linears.size()];
    inputs[0] = x;
    for (int i = 0; i < linears.size(); i++) {
      LoraLinear linear = linears.get(i);
      layers.add(
          new LoraFunction.Frozen(
              linear.weight, linear.bias, linear.config.scale(), linear.dropoutSeeds.next()));
      inputs[1 + 2 * i] = linear.loraA;
      inputs[2 + 2 * i] = linear.loraB;
    }
    return new LoraFunction(layers, linears.get(0).dropout()).apply(inputs);
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
    return training ? config.dropout() : 0;
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

  /** Switches dropout on (as it is at first) or off. */
  public void train(boolean training) {
    lifetime.check();
    this.training = training;
  }

  /** How many dropout masks were drawn: with the seed, all there is to know of the next one. */
  @Override
  public long rngState() {
    lifetime.check();
    return dropoutSeeds.calls();
  }

  @Override
  public void setRngState(long position) {
    lifetime.check();
    dropoutSeeds.setCalls(position);
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
    Tensors.requireWritable("weight", weight);
    try (PointerScope scope = new PointerScope();
        NoGradGuard noGrad = new NoGradGuard()) {
      Tensor before = weight.clone();
      addDelta(sightline::sl_lora_merge);
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
          Tensors.requireWritable("weight", weight);
          addDelta(sightline::sl_lora_unmerge);
          merged = false;
        });
  }

  /** {@code sl_lora_merge} or {@code sl_lora_unmerge}. */
  private interface MergeCall {
    int run(
        sl_context context,
        sl_tensor weight,
        sl_tensor a,
        sl_tensor b,
        double scale,
        int rounding,
        long seed);
  }

  private void addDelta(MergeCall call) {
    try (TensorDescriptor w = new TensorDescriptor();
        TensorDescriptor a = new TensorDescriptor();
        TensorDescriptor b = new TensorDescriptor()) {
      NativeCalls.check(
          call.run(
              CallContext.of(weight),
              w.of("weight", weight),
              a.of("loraA", loraA),
              b.of("loraB", loraB),
              config.scale(),
              sightline.SL_ROUND_NEAREST,
              0));
    }
    // Also what saved the weight for its backward pass must hear of it.
    Tensors.bumpVersion(weight);
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
