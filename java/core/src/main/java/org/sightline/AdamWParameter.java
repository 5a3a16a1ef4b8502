package org.sightline;

import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.binding.Scopes;

/**
 * A parameter and what its optimizer keeps of it.
 *
 * @param value a handle of our own: the caller's may be closed by its scope
 * @param expAvg fp32, like expAvgSq
 * @param master fp32 copy of a bf16 parameter, or null
 * @param remainder int16, the bits of such a copy beyond the parameter's, or null
 * @param group index of its group
 */
record AdamWParameter(
    Tensor value, Tensor expAvg, Tensor expAvgSq, Tensor master, Tensor remainder, int group) {
  /** Passes if an optimizer can write to {@code parameter} number {@code index}. */
  static void check(int index, Tensor parameter) {
    String name = "parameter " + index;
    Objects.requireNonNull(parameter, name);
    Checks.kernelDType(name, parameter);
    Checks.writable(name, parameter);
    if (!parameter.is_leaf()) {
      throw new IllegalArgumentException(
          name + " must be a leaf of the graph, found the result of an operation");
    }
    if (!parameter.is_contiguous()) {
      throw new IllegalArgumentException(name + " must be contiguous");
    }
  }

  static AdamWParameter of(Tensor value, AdamW.Precision precision, int group) {
    boolean narrow = Tensors.dtype(value) == ScalarType.BFloat16;
    boolean split = precision == AdamW.Precision.REMAINDER;
    return new AdamWParameter(
        Scopes.own(new Tensor(value)),
        zeros(value, ScalarType.Float),
        zeros(value, ScalarType.Float),
        narrow && !split ? master(value) : null,
        narrow && split ? zeros(value, ScalarType.Short) : null,
        group);
  }

  private static Tensor master(Tensor parameter) {
    Tensor master = zeros(parameter, ScalarType.Float);
    master.copy_(parameter);
    return master;
  }

  private static Tensor zeros(Tensor parameter, ScalarType dtype) {
    Tensor zeros = Scopes.own(Tensors.empty(parameter, dtype, Tensors.shape(parameter)));
    zeros.zero_();
    return zeros;
  }

  /** Adds what {@link AdamW#state} calls the buffers of parameter {@code index}. */
  void putBuffers(int index, Map<String, Tensor> buffers) {
    buffers.put("exp_avg." + index, expAvg);
    buffers.put("exp_avg_sq." + index, expAvgSq);
    if (master != null) {
      buffers.put("master." + index, master);
    }
    if (remainder != null) {
      buffers.put("remainder." + index, remainder);
    }
  }

  void close() {
    Stream.of(value, expAvg, expAvgSq, master, remainder)
        .filter(Objects::nonNull)
        .forEach(Tensor::close);
  }
}
