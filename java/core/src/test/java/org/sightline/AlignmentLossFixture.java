package org.sightline;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** What the tests of the alignment loss share. */
abstract class AlignmentLossFixture extends ScopedTest {
  AlignmentLossFixture() {
    super(11);
  }

  static ProjectorConfig config(
      long d, long p, long z, boolean trainable, double dropout, DType compute) {
    return new ProjectorConfig(d, p, z, trainable, dropout, compute, 5);
  }

  static Tensor hidden(long... shape) {
    return torch.randn(shape).set_requires_grad(true);
  }
}
