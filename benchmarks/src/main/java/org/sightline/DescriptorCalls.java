package org.sightline;

import org.bytedeco.pytorch.Tensor;

/**
 * Lets the benchmarks reach {@link TensorDescriptor}: what every kernel call pays for each of its
 * tensors before native code starts, and no part of the public API.
 */
public final class DescriptorCalls implements AutoCloseable {
  private final TensorDescriptor descriptor;

  /** Allocates one descriptor, to be filled again and again as kernel calls do. */
  public DescriptorCalls() {
    Sightline.load();
    descriptor = new TensorDescriptor();
  }

  /** Describes a tensor. */
  public void describe(Tensor tensor) {
    descriptor.of("tensor", tensor);
  }

  @Override
  public void close() {
    descriptor.close();
  }
}
