package org.sightline.vla.model;

import java.util.List;

/**
 * Name and shape of one tensor of a checkpoint, known without the tensor.
 *
 * @param name full name in the state dict
 * @param shape sizes, PyTorch's order (linear weights are [out, in])
 */
public record ParameterSpec(String name, List<Long> shape) {
  public ParameterSpec {
    shape = List.copyOf(shape);
  }

  public static ParameterSpec of(String name, long... shape) {
    return new ParameterSpec(name, java.util.Arrays.stream(shape).boxed().toList());
  }

  /** Number of elements. */
  public long elements() {
    return shape.stream().reduce(1L, Math::multiplyExact);
  }

  public long[] sizes() {
    return shape.stream().mapToLong(Long::longValue).toArray();
  }
}
