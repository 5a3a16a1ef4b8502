package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.sightline.Refusals.assertMessage;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.sightline.binding.sightline;
import org.sightline.binding.sl_tensor;

/** What native code is told of a tensor. */
class TensorDescriptorTest extends ScopedTest {
  private TensorDescriptor descriptor;

  TensorDescriptorTest() {
    super(19);
  }

  @BeforeEach
  void open() {
    descriptor = new TensorDescriptor();
  }

  @AfterEach
  void close() {
    descriptor.close();
  }

  private static void assertLayout(sl_tensor found, Tensor t, int code, int bits) {
    assertEquals(t.data_ptr().address(), found.data().address());
    assertEquals(t.dim(), found.ndim());
    for (int i = 0; i < t.dim(); i++) {
      assertEquals(t.size(i), found.shape().get(i));
      assertEquals(t.stride(i), found.strides().get(i));
    }
    assertEquals(0, found.byte_offset());
    assertEquals(code, found.dtype().code());
    assertEquals(bits, found.dtype().bits());
    assertEquals(1, found.dtype().lanes());
    assertEquals(sightline.SL_CPU, found.device().type());
    assertEquals(0, found.device().id());
  }

  @Test
  void describesViewsAndDTypes() {
    Tensor view = torch.randn(4, 5, 6).narrow(1, 1, 3).transpose(0, 2);
    assertLayout(descriptor.of("t", view), view, sightline.SL_FLOAT, 32);
    Tensor half = torch.randn(7).to(ScalarType.BFloat16);
    assertLayout(descriptor.of("t", half), half, sightline.SL_BFLOAT, 16);
    Tensor scalar = torch.randn(2).select(0, 1);
    assertLayout(descriptor.of("t", scalar), scalar, sightline.SL_FLOAT, 32);
    Tensor shorts = torch.zeros(3, 2).to(ScalarType.Short);
    assertLayout(descriptor.ofInt16("t", shorts), shorts, sightline.SL_INT, 16);
  }

  @Test
  void narrowsTheSecondDimension() {
    for (ScalarType dtype : new ScalarType[] {ScalarType.Float, ScalarType.BFloat16}) {
      Tensor t = torch.randn(2, 9, 5).to(dtype);
      Tensor narrowed = t.narrow(1, 3, 4);
      sl_tensor found = descriptor.ofNarrowed("t", t, 3, 4);
      assertEquals(narrowed.data_ptr().address(), found.data().address() + found.byte_offset());
      for (int i = 0; i < 3; i++) {
        assertEquals(narrowed.size(i), found.shape().get(i));
        assertEquals(narrowed.stride(i), found.strides().get(i));
      }
    }
  }

  @Test
  void refusesWhatTheKernelsDoNotTake() {
    Tensor deep = torch.zeros(1, 1, 1, 1, 1, 1, 1, 1, 1);
    Tensor shorts = torch.zeros(3).to(ScalarType.Short);
    assertMessage("t must have at most 8 dimensions, found 9", () -> descriptor.of("t", deep));
    assertMessage(
        "t must have at least 2 dimensions, found 1",
        () -> descriptor.ofNarrowed("t", torch.zeros(3), 0, 1));
    assertMessage("t must be Float or BFloat16, found Short", () -> descriptor.of("t", shorts));
    assertMessage(
        "t must be Float or BFloat16, found Half",
        () -> descriptor.of("t", shorts.to(ScalarType.Half)));
    assertMessage(
        "t must be Short, found Float", () -> descriptor.ofInt16("t", shorts.to(ScalarType.Float)));
  }
}
