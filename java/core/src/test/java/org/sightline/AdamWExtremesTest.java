package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Parameters without elements, and gradients whose squares leave fp32. */
class AdamWExtremesTest extends ScopedTest {
  AdamWExtremesTest() {
    super(23);
  }

  private static AdamW.Config config(double maxNorm, AdamW.Precision precision) {
    return new AdamW.Config(0.1, 0.9, 0.999, 1e-8, 0, maxNorm, true, precision);
  }

  private static Tensor leaf(Tensor tensor, ScalarType dtype) {
    return tensor.to(dtype).set_requires_grad(true);
  }

  /** torch.optim.AdamW takes them, and sharded training makes them. */
  @ParameterizedTest
  @CsvSource({
    "0, Float, MASTER",
    "1, Float, MASTER",
    "2, Float, MASTER",
    "0, BFloat16, MASTER",
    "0, BFloat16, REMAINDER"
  })
  void aParameterWithoutElementsIsANoOp(int place, ScalarType dtype, AdamW.Precision precision) {
    List<Tensor> parameters =
        new ArrayList<>(List.of(leaf(torch.ones(3), dtype), leaf(torch.ones(2), dtype)));
    parameters.add(place, leaf(torch.empty(0, 5), dtype));
    try (AdamW adamW = new AdamW(parameters, config(1, precision));
        AdamW restored = new AdamW(parameters, config(1, precision))) {
      for (int step = 0; step < 2; step++) {
        parameters.forEach(p -> p.mutable_grad().put(torch.ones_like(p)));
        assertEquals(Math.sqrt(5), adamW.step().gradNorm(), 1e-6);
      }
      for (Tensor parameter : parameters) {
        assertTrue(parameter.lt(new Scalar(0.9)).all().item_bool());
      }
      restored.loadState(adamW.state());
      assertEquals(6, restored.state().get("step").sum().item_long());
    }
  }

  @Test
  void aListOfNothingElseTakesSteps() {
    Tensor none = leaf(torch.empty(0), ScalarType.Float);
    try (AdamW adamW = new AdamW(List.of(none), AdamW.Config.defaults())) {
      none.mutable_grad().put(torch.empty(0));
      assertEquals(new AdamW.Report(0, 1, 0, false), adamW.step());
    }
  }

  /** 128 gradients of 1e19: the squares add up to 1.28e40, the norm is 1.13e20. */
  @ParameterizedTest
  @CsvSource({"Float, 2", "Float, 0", "BFloat16, 2"})
  void aNormWhoseSquareOverflowsIsExact(ScalarType dtype, double maxNorm) {
    Tensor parameter = leaf(torch.zeros(128), dtype);
    try (AdamW adamW = new AdamW(List.of(parameter), config(maxNorm, AdamW.Precision.MASTER))) {
      Tensor gradient = torch.full(new long[] {128}, new Scalar(1e19)).to(dtype);
      parameter.mutable_grad().put(gradient);
      double norm = Math.sqrt(128) * gradient.select(0, 0).to(ScalarType.Double).item_double();
      AdamW.Report report = adamW.step();
      assertEquals(norm, report.gradNorm(), 1e-6 * norm);
      double factor = maxNorm == 0 ? 1 : maxNorm / norm;
      assertEquals(factor, report.clipFactor(), 1e-6 * factor);
      assertEquals(0, report.nonFinite());
      assertEquals(-0.1, parameter.mean().item_double(), 1e-3);
    }
  }
}
