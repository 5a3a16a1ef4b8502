package org.sightline;

import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;

/** What the tests of the alignment loss share. */
abstract class AlignmentLossFixture {
  PointerScope scope;

  @BeforeAll
  static void start() {
    Sightline.load();
  }

  @BeforeEach
  void open() {
    scope = new PointerScope();
    torch.manual_seed(11);
  }

  @AfterEach
  void close() {
    scope.close();
  }

  static ProjectorConfig config(
      long d, long p, long z, boolean trainable, double dropout, DType compute) {
    return new ProjectorConfig(d, p, z, trainable, dropout, compute, 5);
  }

  static Tensor hidden(long... shape) {
    return torch.randn(shape).set_requires_grad(true);
  }
}
