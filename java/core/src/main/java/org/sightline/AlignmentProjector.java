package org.sightline;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.InferenceMode;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.sightline.binding.Lifetime;
import org.sightline.binding.Scopes;

/**
 * The small network between a policy's hidden states and a teacher's features: LayerNorm(D) →
 * Linear D→P → SiLU → Linear P→P → SiLU → Linear P→Z, with biases (Kachaev et al., arXiv
 * 2510.25616, "MLP Ln&amp;D").
 *
 * <p>Parameters carry the names of the paper's code, those of an {@code nn.Sequential}:
 *
 * <pre>
 * net.0.weight [D]    net.0.bias [D]    LayerNorm, ε = 1e-5
 * net.1.weight [P,D]  net.1.bias [P]
 * net.4.weight [P,P]  net.4.bias [P]
 * net.7.weight [Z,P]  net.7.bias [Z]
 * </pre>
 *
 * <p>All are fp32 unless given otherwise. Frozen by default; if trainable, they require gradients.
 */
public final class AlignmentProjector implements AutoCloseable {
  static final double LAYER_NORM_EPSILON = 1e-5;

  private final ProjectorConfig config;
  private final Map<String, Tensor> parameters;
  private final Lifetime lifetime = new Lifetime("AlignmentProjector");

  /** A projector with PyTorch's default initial weights, drawn from {@code config.seed()}. */
  public AlignmentProjector(ProjectorConfig config) {
    this(config, Device.CPU);
  }

  /** The same on another device. */
  public AlignmentProjector(ProjectorConfig config, Device device) {
    this(config, initialParameters(Objects.requireNonNull(config, "config"), device));
  }

  private AlignmentProjector(ProjectorConfig config, Map<String, Tensor> parameters) {
    this.config = config;
    this.parameters = Collections.unmodifiableMap(parameters);
    parameters.values().forEach(p -> p.set_requires_grad(config.trainable()));
  }

  /**
   * A projector with given weights, which are copied.
   *
   * @param parameters the eight tensors named above, all fp32 or all bf16; others are ignored
   * @throws IllegalArgumentException if one is missing, has another shape or dtype, or is not
   *     finite
   */
  public static AlignmentProjector of(ProjectorConfig config, Map<String, Tensor> parameters) {
    Sightline.load();
    Objects.requireNonNull(config, "config");
    Map<String, Tensor> copies = new LinkedHashMap<>();
    try {
      for (Map.Entry<String, long[]> entry : shapes(config).entrySet()) {
        Tensor given = parameters.get(entry.getKey());
        if (given == null) {
          throw new IllegalArgumentException(
              "projector parameter %s is missing; found %s"
                  .formatted(entry.getKey(), parameters.keySet()));
        }
        Checks.shape(entry.getKey(), given, entry.getValue());
        Checks.kernelDType(entry.getKey(), given);
        Checks.strided(entry.getKey(), given);
        Finite.require(entry.getKey(), given);
        copies.put(entry.getKey(), Tensors.copyOf(given));
      }
    } catch (RuntimeException e) {
      copies.values().forEach(Tensor::close);
      throw e;
    }
    return new AlignmentProjector(config, copies);
  }

  public ProjectorConfig config() {
    return config;
  }

  /**
   * The parameters by name, in the order above; they stay owned by the projector.
   *
   * @throws IllegalStateException after {@link #close}
   */
  public Map<String, Tensor> parameters() {
    lifetime.check();
    return parameters;
  }

  Lifetime lifetime() {
    return lifetime;
  }

  @Override
  public void close() {
    lifetime.close(() -> parameters.values().forEach(Tensor::close));
  }

  /** Shapes of the parameters of a projector by name, in the order above. */
  public static Map<String, long[]> shapes(ProjectorConfig config) {
    long d = config.hiddenSize();
    long p = config.projectorSize();
    long z = config.teacherSize();
    Map<String, long[]> shapes = new LinkedHashMap<>();
    shapes.put("net.0.weight", new long[] {d});
    shapes.put("net.0.bias", new long[] {d});
    shapes.put("net.1.weight", new long[] {p, d});
    shapes.put("net.1.bias", new long[] {p});
    shapes.put("net.4.weight", new long[] {p, p});
    shapes.put("net.4.bias", new long[] {p});
    shapes.put("net.7.weight", new long[] {z, p});
    shapes.put("net.7.bias", new long[] {z});
    return shapes;
  }

  private static Map<String, Tensor> initialParameters(ProjectorConfig config, Device device) {
    Map<String, Tensor> parameters = new LinkedHashMap<>();
    Sightline.load();
    try (PointerScope scope = new PointerScope();
        InferenceMode normal = new InferenceMode(false);
        NoGradGuard noGrad = new NoGradGuard()) {
      Generator generator = torch.createCPUGenerator(config.seed());
      double bound = 0;
      for (Map.Entry<String, long[]> entry : shapes(config).entrySet()) {
        long[] shape = entry.getValue();
        if (shape.length == 2) {
          // nn.Linear: weight and bias are uniform in ±1/√fan_in; a bias follows its weight.
          bound = 1 / Math.sqrt(shape[1]);
        }
        Tensor parameter = torch.empty(shape);
        switch (entry.getKey()) {
          case "net.0.weight" -> parameter.fill_(new Scalar(1));
          case "net.0.bias" -> parameter.zero_();
          default -> parameter.uniform_(-bound, bound, new GeneratorOptional(generator));
        }
        parameters.put(entry.getKey(), Scopes.own(device.move(parameter)));
      }
    }
    return parameters;
  }
}
