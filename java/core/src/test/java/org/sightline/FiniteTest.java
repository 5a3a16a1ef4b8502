package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.sightline.Refusals.assertMessage;

import java.util.Optional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class FiniteTest extends ScopedTest {
  FiniteTest() {
    super(5);
  }

  /** Places in the vector body and the tail of libtorch's loops, and in the work of two threads. */
  @ParameterizedTest
  @CsvSource({
    "Float, NaN", "Float, Infinity", "Float, -Infinity",
    "BFloat16, NaN", "BFloat16, Infinity", "BFloat16, -Infinity",
    "Half, NaN", "Half, Infinity", "Half, -Infinity",
    "Double, NaN", "Double, Infinity", "Double, -Infinity"
  })
  void namesTheFirstValueAndItsPlace(ScalarType dtype, double value) {
    for (int size : new int[] {1, 7, 1000, 1 << 16}) {
      for (int place : new int[] {0, size / 2, size - 1}) {
        Tensor tensor = torch.randn(size).to(dtype);
        assertEquals(Optional.empty(), Finite.defect(tensor));
        tensor.narrow(0, place, 1).fill_(new Scalar(value));
        assertEquals(Optional.of(value + " at [" + place + "]"), Finite.defect(tensor));
      }
    }
  }

  @Test
  void placesAreThoseOfTheTensorAsItReads() {
    Tensor tensor = torch.randn(3, 4, 5).set_requires_grad(true);
    tensor.detach().select(0, 2).select(0, 1).narrow(0, 3, 1).fill_(new Scalar(Double.NaN));
    assertMessage("w must be finite, found NaN at [2, 1, 3]", () -> Finite.require("w", tensor));
    assertEquals(Optional.of("NaN at [3, 1, 2]"), Finite.defect(tensor.transpose(0, 2)));
    assertEquals(Optional.of("NaN at []"), Finite.defect(tensor.sum()));
  }

  /** W and s·BA are finite, their sum is not: refused, and the weight keeps its bits. */
  @ParameterizedTest
  @CsvSource({"Float, 3.4e38, 1e38", "BFloat16, 3.38e38, 1e38", "Float, 1, NaN"})
  void aMergeIsAllOrNothing(ScalarType dtype, double weight, double delta) {
    Tensor w = torch.ones(3, 4).mul(new Scalar(weight)).to(dtype);
    Tensor before = w.clone();
    try (LoraLinear layer = new LoraLinear(w, null, LoraConfig.of(1, 1), DType.FLOAT32, 1)) {
      layer.loraA().detach().fill_(new Scalar(1));
      layer.loraB().detach().narrow(0, 1, 1).fill_(new Scalar(delta));
      String value = Double.isNaN(delta) ? "NaN" : "Infinity";
      assertMessage("weight + s·BA must be finite, found " + value + " at [1, 0]", layer::merge);
      assertFalse(layer.isMerged());
      assertTrue(torch.equal(before, w));
      layer.loraB().detach().zero_();
      layer.merge();
      assertTrue(torch.equal(before, w));
    }
  }

  @Test
  void theLargestNumbersNothingAndIntegersPass() {
    Tensor largest = torch.full(new long[] {9}, new Scalar(3.4028234663852886e38));
    assertSame(largest, Finite.require("w", largest));
    Finite.require("none", torch.empty(0, 3));
    Finite.require("ids", torch.ones(3).to(ScalarType.Long));
  }
}
