package org.sightline;

import java.util.List;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.binding.Scopes;
import org.sightline.binding.sightline;
import org.sightline.binding.sl_adamw;
import org.sightline.binding.sl_adamw_group;
import org.sightline.binding.sl_adamw_param;
import org.sightline.binding.sl_adamw_step_args;
import org.sightline.binding.sl_tensor;

/** A native {@code sl_adamw}, and the descriptors its steps use again. Not thread-safe. */
final class NativeAdamW implements AutoCloseable {
  /** Norm, clipping factor, count of non-finite elements, whether skipped. */
  private static final int REPORT_SIZE = 4;

  private final List<AdamWParameter> parameters;
  private final long[] addresses;
  private final long[] versions;
  private final int groupCount;

  private final sl_adamw handle = Scopes.own(new sl_adamw());
  private final sl_tensor[] gradients;
  private final sl_tensor gradientArray;
  private final LongPointer shapes; // and strides
  private final Tensor report;
  private final TensorDescriptor reportDescriptor = new TensorDescriptor();
  private final sl_adamw_group groups;
  private final sl_adamw_step_args args = Scopes.own(new sl_adamw_step_args());

  NativeAdamW(List<AdamWParameter> parameters) {
    this.parameters = parameters;
    int count = parameters.size();
    addresses = parameters.stream().mapToLong(p -> address(p.value())).toArray();
    versions = parameters.stream().mapToLong(p -> p.value()._version()).toArray();
    groupCount = 1 + parameters.get(count - 1).group();
    gradientArray = Scopes.own(new sl_tensor(count));
    shapes =
        Scopes.own(
            new LongPointer(
                Math.max(1, 2 * parameters.stream().mapToLong(p -> p.value().dim()).sum())));
    gradients = new sl_tensor[count];
    long offset = 0;
    for (int i = 0; i < count; i++) {
      Tensor parameter = parameters.get(i).value();
      gradients[i] = gradientArray.getPointer(i);
      long dims = parameter.dim();
      gradients[i].shape(shapes.getPointer(offset)).strides(shapes.getPointer(offset + dims));
      offset += 2 * dims;
    }
    groups = Scopes.own(new sl_adamw_group(groupCount));
    // Where the parameters are: reading it is what would wait for a GPU.
    report = Scopes.own(Tensors.empty(parameters.get(0).value(), ScalarType.Float, REPORT_SIZE));
    create();
  }

  /** Whether the parameters have no memory: then a step is checked, and changes nothing. */
  private boolean isMeta() {
    return parameters.get(0).value().is_meta();
  }

  private void create() {
    if (isMeta()) {
      return;
    }
    int count = parameters.size();
    TensorDescriptor[] described = new TensorDescriptor[5 * count];
    try (sl_adamw_param array = new sl_adamw_param(count)) {
      for (int i = 0; i < described.length; i++) {
        described[i] = new TensorDescriptor();
      }
      for (int i = 0; i < count; i++) {
        AdamWParameter p = parameters.get(i);
        // Not closed: a pointer into an array would take the array with it.
        array
            .getPointer(i)
            .param(described[5 * i].of("parameter " + i, p.value()))
            .exp_avg(described[5 * i + 1].of("exp_avg." + i, p.expAvg()))
            .exp_avg_sq(described[5 * i + 2].of("exp_avg_sq." + i, p.expAvgSq()))
            .master(p.master() == null ? null : described[5 * i + 3].of("master." + i, p.master()))
            .remainder(
                p.remainder() == null
                    ? null
                    : described[5 * i + 4].ofInt16("remainder." + i, p.remainder()))
            .group(p.group());
      }
      // The handle keeps the addresses of the memory described, not the descriptors.
      NativeCalls.check(sightline.sl_adamw_create(array, count, handle));
    } finally {
      for (TensorDescriptor descriptor : described) {
        if (descriptor != null) {
          descriptor.close();
        }
      }
    }
  }

  /** Returns the report as the kernel wrote it; the next step writes it again. */
  Tensor step(
      AdamW.Config config, double[] learningRates, double[] weightDecays, double gradScale) {
    try (PointerScope scope = new PointerScope();
        NoGradGuard noGrad = new NoGradGuard()) {
      checkMemory();
      refreshMasters();
      Tensor[] strided = new Tensor[gradients.length];
      describeGradients(strided);
      if (isMeta()) {
        return report;
      }
      for (int g = 0; g < groupCount; g++) {
        groups
            .getPointer(g)
            .lr(learningRates[g])
            .beta1(config.beta1())
            .beta2(config.beta2())
            .eps(config.epsilon())
            .weight_decay(weightDecays[g]);
      }
      args.grads(gradientArray)
          .count(gradients.length)
          .groups(groups)
          .group_count(groupCount)
          .lr(null)
          .grad_scale(gradScale)
          .max_grad_norm(config.maxGradNorm())
          .skip_nonfinite(config.skipNonFinite() ? 1 : 0)
          .zero_grads(1)
          .report(reportDescriptor.of("report", report));
      NativeCalls.check(
          sightline.sl_adamw_step(handle, CallContext.of(parameters.get(0).value()), args));
      for (Tensor gradient : strided) {
        if (gradient != null) {
          gradient.zero_();
        }
      }
      return report;
    }
  }

  static AdamW.Report read(Tensor report) {
    try (PointerScope scope = new PointerScope()) {
      float[] values = new float[REPORT_SIZE];
      report.cpu().data_ptr_float().get(values);
      return new AdamW.Report(values[0], values[1], (long) values[2], values[3] != 0);
    }
  }

  /** The kernel writes to the addresses it was given; a parameter must still live there. */
  private void checkMemory() {
    for (int i = 0; i < addresses.length; i++) {
      if (address(parameters.get(i).value()) != addresses[i]) {
        throw new IllegalStateException(
            ("parameter %s was given other memory (set_data) since the optimizer was made;"
                    + " make a new one")
                .formatted(i));
      }
    }
  }

  /**
   * Where someone else wrote a parameter, its master follows; unless it still rounds to the same
   * values, as when a checkpoint restored both.
   */
  private void refreshMasters() {
    for (int i = 0; i < versions.length; i++) {
      Tensor master = parameters.get(i).master();
      Tensor parameter = parameters.get(i).value();
      if (master != null
          && !master.is_meta()
          && parameter._version() != versions[i]
          && !torch.equal(master.to(ScalarType.BFloat16), parameter)) {
        master.copy_(parameter);
      }
    }
  }

  /** Native writes raise no version counter by themselves: to be called after a step. */
  void noteChanges() {
    for (int i = 0; i < versions.length; i++) {
      if (gradients[i].ndim() >= 0) {
        Tensors.bumpVersion(parameters.get(i).value());
      }
      versions[i] = parameters.get(i).value()._version();
    }
  }

  /**
   * @param strided receives the gradients that had to be copied, to be zeroed afterwards
   */
  private void describeGradients(Tensor[] strided) {
    for (int i = 0; i < gradients.length; i++) {
      Tensor gradient = parameters.get(i).value().grad();
      if (!gradient.defined()) {
        gradients[i].ndim(-1);
        continue;
      }
      String name = "gradient " + i;
      Checks.kernelDType(name, gradient);
      Checks.strided(name, gradient);
      Checks.normal(name, gradient);
      if (gradient.is_neg() || !gradient.is_contiguous()) {
        strided[i] = gradient;
        gradient = gradient.resolve_neg().contiguous();
      }
      if (!gradient.is_meta()) {
        TensorDescriptor.fill(name, gradient, gradients[i]);
      }
    }
  }

  /** 0 for a tensor without elements, which has no memory. */
  private static long address(Tensor tensor) {
    try (Pointer data = tensor.data_ptr()) {
      return data == null ? 0 : data.address();
    }
  }

  long[] steps() {
    long[] steps = new long[gradients.length];
    if (isMeta()) {
      return steps;
    }
    NativeCalls.check(sightline.sl_adamw_get_steps(handle, steps, steps.length));
    return steps;
  }

  void setSteps(long[] steps) {
    NativeCalls.check(sightline.sl_adamw_set_steps(handle, steps, steps.length));
  }

  @Override
  public void close() {
    sightline.sl_adamw_destroy(handle);
    handle.close();
    gradientArray.close();
    shapes.close();
    reportDescriptor.close();
    report.close();
    groups.close();
    args.close();
  }
}
