package org.sightline;

import io.soabase.recordbuilder.core.RecordBuilder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.InferenceMode;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.binding.Lifetime;

/**
 * AdamW (Loshchilov &amp; Hutter, arXiv 1711.05101) over any number of tensors, in PyTorch's order
 * of operations, with the global-norm clipping and the zeroing of gradients around it.
 */
public final class AdamW implements AutoCloseable {
  /** How a bf16 parameter keeps what its 16 bits cannot. Both take the same steps, to the bit. */
  public enum Precision {
    /** An fp32 copy, of which the parameter is the rounding to nearest, ties to even. */
    MASTER,
    /**
     * The 16 bits that the copy has more, as int16: the copy's bits are 65536 times the parameter's
     * plus these. Half the memory; the parameter is rounded to nearest, ties away from 0.
     */
    REMAINDER
  }

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
   * @param precision how a bf16 parameter keeps what its 16 bits cannot
   */
  @RecordBuilder
  public record Config(
      double learningRate,
      double beta1,
      double beta2,
      double epsilon,
      double weightDecay,
      double maxGradNorm,
      boolean skipNonFinite,
      Precision precision)
      implements AdamWConfigBuilder.With {
    /** With fp32 copies of bf16 parameters, as {@link Precision#MASTER} has them. */
    public Config(
        double learningRate,
        double beta1,
        double beta2,
        double epsilon,
        double weightDecay,
        double maxGradNorm,
        boolean skipNonFinite) {
      this(
          learningRate,
          beta1,
          beta2,
          epsilon,
          weightDecay,
          maxGradNorm,
          skipNonFinite,
          Precision.MASTER);
    }

    public Config {
      Checks.notNegative("learningRate", learningRate);
      Checks.belowOne("beta1", beta1);
      Checks.belowOne("beta2", beta2);
      Checks.positive("epsilon", epsilon);
      Checks.notNegative("weightDecay", weightDecay);
      Checks.notNegative("maxGradNorm", maxGradNorm);
      Objects.requireNonNull(precision, "precision");
    }

    /**
     * Learning rate 5e-4 as in OpenVLA's LoRA recipe, the rest as in PyTorch; no clipping, an fp32
     * master of every bf16 parameter.
     */
    public static Config defaults() {
      return new Config(5e-4, 0.9, 0.999, 1e-8, 1e-2, 0, true, Precision.MASTER);
    }
  }

  /**
   * Parameters with a learning rate and weight decay of their own.
   *
   * @param parameters leaf tensors, fp32 or bf16
   */
  public record Group(List<Tensor> parameters, double learningRate, double weightDecay) {
    public Group {
      for (int i = 0; i < parameters.size(); i++) {
        Objects.requireNonNull(parameters.get(i), "parameter " + i);
      }
      parameters = List.copyOf(parameters);
      Checks.notNegative("learningRate", learningRate);
      Checks.notNegative("weightDecay", weightDecay);
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
  private final List<AdamWParameter> parameters = new ArrayList<>();
  private final double[] learningRates;
  private final double[] weightDecays;
  private final NativeAdamW kernel;
  private final Lifetime lifetime = new Lifetime("AdamW");

  /**
   * One group with the rates of {@code config}.
   *
   * @param parameters as in {@link #AdamW(Config, List)}
   */
  public AdamW(List<Tensor> parameters, Config config) {
    this(config, List.of(new Group(parameters, config.learningRate(), config.weightDecay())));
  }

  /**
   * Several groups; their rates take the place of those in {@code config}.
   *
   * @param groups of leaf tensors, fp32 or bf16, contiguous, all on one device, at least one in
   *     all; a bf16 parameter gets what {@link Config#precision} says
   * @throws IllegalArgumentException if there is none, or one is no leaf or does not fit
   */
  public AdamW(Config config, List<Group> groups) {
    Sightline.load();
    this.config = Objects.requireNonNull(config, "config");
    this.learningRates = groups.stream().mapToDouble(Group::learningRate).toArray();
    this.weightDecays = groups.stream().mapToDouble(Group::weightDecay).toArray();
    int count = 0;
    for (Group group : groups) {
      for (Tensor parameter : group.parameters()) {
        AdamWParameter.check(count++, parameter);
      }
    }
    if (count == 0) {
      throw new IllegalArgumentException("parameters must hold at least 1 tensor, found none");
    }
    try (PointerScope scope = new PointerScope();
        InferenceMode normal = new InferenceMode(false);
        NoGradGuard noGrad = new NoGradGuard()) {
      for (int g = 0; g < groups.size(); g++) {
        for (Tensor parameter : groups.get(g).parameters()) {
          parameters.add(AdamWParameter.of(parameter, config.precision(), g));
        }
      }
    }
    kernel = new NativeAdamW(parameters);
  }

  /** Uses and zeroes {@code .grad} of every parameter; parameters without one are left alone. */
  public Report step() {
    return step(1);
  }

  /**
   * As {@link #step()}, gradients multiplied by {@code gradScale} first.
   *
   * @param gradScale for instance 1 / accumulated micro-batches
   * @throws IllegalArgumentException if a gradient's dtype is neither fp32 nor bf16
   * @throws IllegalStateException after {@link #close}, or if a parameter was given other memory
   */
  public Report step(double gradScale) {
    Report[] report = new Report[1];
    // Alone: a step writes the parameters and its own buffers.
    lifetime.useAlone(
        () -> {
          report[0] = NativeAdamW.read(kernel.step(config, learningRates, weightDecays, gradScale));
          if (!report[0].skipped()) {
            kernel.noteChanges();
          }
        });
    return report[0];
  }

  /**
   * As {@link #step(double)}, without waiting for the device to tell what the step did.
   *
   * @return [4] fp32 on the device of the parameters: the fields of a {@link Report} in order, the
   *     last 0 or 1. It belongs to the optimizer, whose next step writes it again.
   */
  public Tensor stepAsync(double gradScale) {
    Tensor[] report = new Tensor[1];
    lifetime.useAlone(
        () -> {
          report[0] = kernel.step(config, learningRates, weightDecays, gradScale);
          // Also if it was skipped: to know of that would mean to wait for the device.
          kernel.noteChanges();
        });
    return report[0];
  }

  /** Sets the learning rate of every group, from the next step on. */
  public void setLearningRate(double learningRate) {
    Checks.notNegative("learningRate", learningRate);
    lifetime.useAlone(() -> Arrays.fill(learningRates, learningRate));
  }

  /** Sets the learning rate of one group, by its index, from the next step on. */
  public void setLearningRate(int group, double learningRate) {
    Checks.notNegative("learningRate", learningRate);
    Objects.checkIndex(group, learningRates.length);
    lifetime.useAlone(() -> learningRates[group] = learningRate);
  }

  /**
   * Everything a checkpoint needs besides the parameters: {@code exp_avg.i} and {@code
   * exp_avg_sq.i} of every parameter i in the order given, {@code master.i} or {@code remainder.i}
   * of bf16 ones, and {@code step}, int64 with the number of steps each has taken. The tensors are
   * copies; the caller closes them.
   */
  public Map<String, Tensor> state() {
    return lifetime.use(
        () -> {
          Map<String, Tensor> state = new LinkedHashMap<>();
          try (LongPointer steps = new LongPointer(kernel.steps());
              PointerScope scope = new PointerScope()) {
            Tensor view =
                torch.from_blob(
                    steps, new long[] {parameters.size()}, new TensorOptions(ScalarType.Long));
            state.put("step", Tensors.copyOf(view));
          }
          buffers().forEach((name, buffer) -> state.put(name, Tensors.copyOf(buffer)));
          return state;
        });
  }

  /**
   * Takes over what {@link #state} gave; the parameters themselves are the caller's to restore,
   * before or after.
   *
   * @throws IllegalArgumentException if a tensor is missing or has another shape
   */
  public void loadState(Map<String, Tensor> state) {
    lifetime.useAlone(
        () -> {
          Map<String, Tensor> buffers = buffers();
          requireEntry(state, "step", parameters.size());
          buffers.forEach((name, buffer) -> requireEntry(state, name, Tensors.shape(buffer)));
          try (PointerScope scope = new PointerScope();
              NoGradGuard noGrad = new NoGradGuard()) {
            Tensor step = state.get("step").to(ScalarType.Long).contiguous();
            long[] steps = new long[parameters.size()];
            step.data_ptr_long().get(steps);
            kernel.setSteps(steps);
            buffers.forEach((name, buffer) -> buffer.copy_(state.get(name)));
          }
        });
  }

  private static void requireEntry(Map<String, Tensor> state, String name, long... shape) {
    Tensor tensor = state.get(name);
    if (tensor == null) {
      throw new IllegalArgumentException(
          "optimizer state must hold " + name + ", found " + state.keySet());
    }
    Checks.shape(name, tensor, shape);
  }

  private Map<String, Tensor> buffers() {
    Map<String, Tensor> buffers = new LinkedHashMap<>();
    for (int i = 0; i < parameters.size(); i++) {
      parameters.get(i).putBuffers(i, buffers);
    }
    return buffers;
  }

  @Override
  public void close() {
    lifetime.close(
        () -> {
          kernel.close();
          parameters.forEach(AdamWParameter::close);
        });
  }
}
