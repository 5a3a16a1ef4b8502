package org.sightline.vla.model;

import java.util.ArrayDeque;
import java.util.Collections;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Predicate;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.Finite;
import org.sightline.LoraLinear;
import org.sightline.Seeds;
import org.sightline.binding.Scopes;

/**
 * Makes a model's modules from named weights, and owns their tensors.
 *
 * <p>Linear layers get adapters as a {@link LoraPlan} says, listed by module name in the order of
 * construction.
 */
public final class Modules implements AutoCloseable {
  private final Weights weights;
  private final Device device;
  private final DType dtype;
  private final LoraPlan loraPlan;
  private final long seed;
  private final Predicate<String> trained;
  private final Map<String, Tensor> parameters = new LinkedHashMap<>(); // those trained
  private final Map<String, LoraLinear> adapters = new LinkedHashMap<>();
  private final Deque<AutoCloseable> owned = new ArrayDeque<>();

  public Modules(Weights weights, Device device, DType dtype, LoraPlan loraPlan, long seed) {
    this(weights, device, dtype, loraPlan, seed, name -> false);
  }

  /**
   * @param trained which parameters require a gradient, by name; none of a module with an adapter
   */
  Modules(
      Weights weights,
      Device device,
      DType dtype,
      LoraPlan loraPlan,
      long seed,
      Predicate<String> trained) {
    this.weights = weights;
    this.device = device;
    this.dtype = dtype;
    this.loraPlan = loraPlan;
    this.seed = seed;
    this.trained = trained;
  }

  public ScalarType scalarType() {
    return scalarType(dtype);
  }

  public static ScalarType scalarType(DType dtype) {
    return switch (dtype) {
      case FLOAT32 -> ScalarType.Float;
      case BFLOAT16 -> ScalarType.BFloat16;
    };
  }

  public Device device() {
    return device;
  }

  /** A parameter in the model's dtype, owned by this object. */
  public Tensor parameter(String name, long... shape) {
    return parameter(name, scalarType(), shape);
  }

  /** The same in another dtype. */
  Tensor parameter(String name, ScalarType dtype, long... shape) {
    return own(trainedIfWanted(name, load(name, dtype, shape)));
  }

  private Tensor trainedIfWanted(String name, Tensor parameter) {
    if (trained.test(name)) {
      parameter.set_requires_grad(true);
      parameters.put(name, parameter);
    }
    return parameter;
  }

  /** Those that are trained, by name, in the order the modules were made. */
  Map<String, Tensor> parameters() {
    return Collections.unmodifiableMap(parameters);
  }

  /**
   * A tensor the model computed for itself, owned by this object from now on. It must be where all
   * others are: libtorch notices late, or never, as some of its operations take two devices.
   */
  Tensor own(Tensor tensor) {
    if (!Device.of(tensor).equals(device)) {
      throw new IllegalStateException(
          "a model's tensors must be on %s, found one on %s".formatted(device, Device.of(tensor)));
    }
    Tensor kept = Scopes.own(tensor);
    owned.push(kept);
    return kept;
  }

  Linear linear(String module, long in, long out, boolean bias) {
    return linear(module, in, out, load(module + ".weight", out, in), bias);
  }

  /**
   * A patch convolution, whose kernel is as large as its stride, as the linear layer it is on
   * unfolded patches of {@code in} = 3·p·p numbers in (channel, row, column) order.
   */
  Linear patchEmbedding(String module, VisionConfig config) {
    long p = config.patchSize();
    Tensor kernel = load(module + ".weight", config.width(), 3, p, p);
    long in = config.patchElements();
    return linear(module, in, config.width(), kernel.view(config.width(), in), config.patchBias());
  }

  private Linear linear(String module, long in, long out, Tensor weight, boolean bias) {
    Scopes.own(trainedIfWanted(module + ".weight", weight));
    Tensor b =
        bias ? Scopes.own(trainedIfWanted(module + ".bias", load(module + ".bias", out))) : null;
    LoraLinear lora =
        loraPlan
            .of(module)
            .map(config -> new LoraLinear(weight, b, config, dtype, Seeds.of(seed, module)))
            .orElse(null);
    if (lora != null) {
      adapters.put(module, lora);
    }
    var linear = new Linear(weight, b, lora);
    owned.push(linear);
    return linear;
  }

  /** Adapters by module name, in the order the modules were made. */
  Map<String, LoraLinear> adapters() {
    return adapters;
  }

  private Tensor load(String name, long... shape) {
    return load(name, scalarType(), shape);
  }

  private Tensor load(String name, ScalarType dtype, long... shape) {
    return Scopes.scoped(
        () -> {
          ParameterSpec spec = ParameterSpec.of(name, shape);
          Tensor source = weights.get(spec);
          boolean copies = device.equals(Device.CPU) && !weights.handsOver();
          Tensor converted = source.detach().to(dtype, false, copies, null);
          // After the conversion, which may leave the range of the dtype.
          return device.move(Finite.require(weights.describe(spec), converted));
        });
  }

  @Override
  public void close() {
    while (!owned.isEmpty()) {
      try {
        owned.pop().close();
      } catch (Exception e) {
        throw new IllegalStateException("closing a module failed", e);
      }
    }
  }
}
