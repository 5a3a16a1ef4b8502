package org.sightline;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * AdamW (Loshchilov &amp; Hutter, arXiv 1711.05101) over any number of tensors, in PyTorch's order
 * of operations, with the global-norm clipping and the zeroing of gradients around it.
 */
public final class AdamW implements AutoCloseable {
  /**
   * Settings of all groups.
   *
   * @param learningRate ≥ 0
   * @param beta1 in [0, 1)
   * @param beta2 in [0, 1)
   * @param epsilon &gt; 0
   * @param weightDecay ≥ 0, decoupled
   * @param maxGradNorm clips the global 2-norm of the gradients; 0: no clipping
   * @param skipNonFinite whether a step with NaN or infinity in a gradient changes nothing
   */
  public record Config(
      double learningRate,
      double beta1,
      double beta2,
      double epsilon,
      double weightDecay,
      double maxGradNorm,
      boolean skipNonFinite) {
    /**
     * Checks every value.
     *
     * @throws IllegalArgumentException naming the argument, the value found and the value expected
     */
    public Config {
      require("learningRate", learningRate, learningRate >= 0, "finite and at least 0");
      require("beta1", beta1, beta1 >= 0 && beta1 < 1, "in [0, 1)");
      require("beta2", beta2, beta2 >= 0 && beta2 < 1, "in [0, 1)");
      require("epsilon", epsilon, epsilon > 0, "finite and above 0");
      require("weightDecay", weightDecay, weightDecay >= 0, "finite and at least 0");
      require("maxGradNorm", maxGradNorm, maxGradNorm >= 0, "finite and at least 0");
    }

    /** Learning rate 5e-4 as in OpenVLA's LoRA recipe, the rest as in PyTorch; no clipping. */
    public static Config defaults() {
      return new Config(5e-4, 0.9, 0.999, 1e-8, 1e-2, 0, true);
    }
  }

  /**
   * Parameters with a learning rate and weight decay of their own.
   *
   * @param parameters leaf tensors, fp32 or bf16
   */
  public record Group(List<Tensor> parameters, double learningRate, double weightDecay) {
    /** Checks the rates; the tensors are checked by the optimizer. */
    public Group {
      parameters = List.copyOf(parameters);
      require("learningRate", learningRate, learningRate >= 0, "finite and at least 0");
      require("weightDecay", weightDecay, weightDecay >= 0, "finite and at least 0");
    }
  }

  /**
   * What a step did.
   *
   * @param gradNorm global 2-norm of the scaled gradients, before clipping
   * @param clipFactor factor applied to them by clipping, 1 if none
   * @param nonFinite count of NaN and infinite elements
   * @param skipped whether nothing was changed because of them
   */
  public record Report(double gradNorm, double clipFactor, long nonFinite, boolean skipped) {}

  private final Config config;
  private final List<Tensor> parameters = new ArrayList<>();
  private final List<Tensor> expAvg = new ArrayList<>();
  private final List<Tensor> expAvgSq = new ArrayList<>();
  private final List<Integer> groupOf = new ArrayList<>();
  private final double[] learningRates;
  private final double[] weightDecays;
  private final long[] steps;
  private final Lifetime lifetime = new Lifetime("AdamW");

  /** One group with the rates of {@code config}. */
  public AdamW(List<Tensor> parameters, Config config) {
    this(config, List.of(new Group(parameters, config.learningRate(), config.weightDecay())));
  }

  /** Several groups; their rates take the place of those in {@code config}. */
  public AdamW(Config config, List<Group> groups) {
    this.config = Objects.requireNonNull(config, "config");
    this.learningRates = groups.stream().mapToDouble(Group::learningRate).toArray();
    this.weightDecays = groups.stream().mapToDouble(Group::weightDecay).toArray();
    for (int g = 0; g < groups.size(); g++) {
      for (Tensor parameter : groups.get(g).parameters()) {
        parameters.add(parameter);
        groupOf.add(g);
        expAvg.add(state(parameter));
        expAvgSq.add(state(parameter));
      }
    }
    this.steps = new long[parameters.size()];
  }

  private static Tensor state(Tensor parameter) {
    try (PointerScope scope = new PointerScope();
        NoGradGuard noGrad = new NoGradGuard()) {
      return Tensors.own(torch.zeros(Tensors.shape(parameter)));
    }
  }

  /** Uses and zeroes {@code .grad} of every parameter; parameters without one are left alone. */
  public Report step() {
    return step(1);
  }

  /**
   * As {@link #step()}, gradients multiplied by {@code gradScale} first.
   *
   * @param gradScale for instance 1 / accumulated micro-batches
   */
  public Report step(double gradScale) {
    lifetime.check();
    try (PointerScope scope = new PointerScope();
        NoGradGuard noGrad = new NoGradGuard()) {
      double squares = 0;
      long nonFinite = 0;
      for (Tensor parameter : parameters) {
        Tensor grad = parameter.grad();
        if (grad.defined()) {
          Tensor g = grad.to(ScalarType.Double).mul(Tensors.scalar(gradScale));
          squares += g.mul(g).sum().item_double();
          nonFinite += torch.isfinite(g).logical_not().sum().item_long();
        }
      }
      double norm = Math.sqrt(squares);
      double clip =
          config.maxGradNorm() > 0 ? Math.min(1, config.maxGradNorm() / (norm + 1e-6)) : 1;
      boolean skip = nonFinite > 0 && config.skipNonFinite();
      for (int i = 0; i < steps.length; i++) {
        Tensor grad = parameters.get(i).grad();
        if (grad.defined()) {
          if (!skip) {
            update(i, grad.to(ScalarType.Float).mul(Tensors.scalar(gradScale * clip)));
          }
          grad.zero_();
        }
      }
      return new Report(norm, clip, nonFinite, skip);
    }
  }

  private void update(int i, Tensor g) {
    Tensor p = parameters.get(i).detach();
    double lr = learningRates[groupOf.get(i)];
    long t = ++steps[i];
    p.mul_(Tensors.scalar(1 - lr * weightDecays[groupOf.get(i)]));
    Tensor m = expAvg.get(i);
    Tensor v = expAvgSq.get(i);
    m.lerp_(g, Tensors.scalar(1 - config.beta1()));
    v.mul_(Tensors.scalar(config.beta2())).addcmul_(g, g, Tensors.scalar(1 - config.beta2()));
    double stepSize = lr / (1 - Math.pow(config.beta1(), t));
    Tensor denominator =
        v.sqrt()
            .div(Tensors.scalar(Math.sqrt(1 - Math.pow(config.beta2(), t))))
            .add(Tensors.scalar(config.epsilon()));
    p.sub_(m.div(denominator).mul(Tensors.scalar(stepSize)).to(Tensors.dtype(p)));
  }

  /** Sets the learning rate of every group. */
  public void setLearningRate(double learningRate) {
    lifetime.check();
    require("learningRate", learningRate, learningRate >= 0, "finite and at least 0");
    java.util.Arrays.fill(learningRates, learningRate);
  }

  private static void require(String name, double value, boolean valid, String expected) {
    if (!valid || !Double.isFinite(value)) {
      throw new IllegalArgumentException(name + " must be " + expected + ", found " + value);
    }
  }

  @Override
  public void close() {
    if (lifetime.close()) {
      expAvg.forEach(Tensor::close);
      expAvgSq.forEach(Tensor::close);
    }
  }
}
