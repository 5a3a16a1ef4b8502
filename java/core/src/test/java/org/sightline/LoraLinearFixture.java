package org.sightline;

import java.util.Random;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** What the tests of {@link LoraLinear} share. */
abstract class LoraLinearFixture extends ScopedTest {
  LoraLinearFixture() {
    super(13);
  }

  /** A layer whose B is not zero, or its adapter would have no effect. */
  static LoraLinear layer(
      Random random,
      long n,
      long k,
      ScalarType weightType,
      boolean bias,
      LoraConfig config,
      DType adapterType) {
    LoraLinear linear =
        new LoraLinear(
            Oracle.normal(random, weightType, 0.3, n, k),
            bias ? Oracle.normal(random, weightType, 1, n) : null,
            config,
            adapterType,
            random.nextLong());
    try (NoGradGuard noGrad = new NoGradGuard()) {
      linear.loraB().copy_(Oracle.normal(random, adapterType.scalarType(), 0.5, n, config.rank()));
    }
    return linear;
  }

  static Tensor expected(LoraLinear linear, Tensor x, Tensor a, Tensor b) {
    Tensor bias = linear.bias() == null ? null : Oracle.wide(linear.bias());
    return Oracle.lora(x, Oracle.wide(linear.weight()), bias, a, b, linear.config().scale());
  }
}
