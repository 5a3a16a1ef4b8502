package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class DeviceNameTest extends ScopedTest {
  DeviceNameTest() {
    super(3);
  }

  @ParameterizedTest
  @CsvSource({"cpu,cpu", "cuda,cuda:0", "cuda:0,cuda:0", "cuda:7,cuda:7", "meta,meta"})
  void namesAreLibtorchs(String name, String canonical) {
    assertEquals(canonical, Device.of(name).toString());
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:1000", "cpu:1", "cuda:0 "})
  void othersAreRefused(String name) {
    var e = assertThrows(IllegalArgumentException.class, () -> Device.of(name));
    assertEquals(
        "device must be auto, cpu, cuda or cuda:N, found \"" + name + "\"", e.getMessage());
  }

  @Test
  void withoutAGpuTheCauseAndTheCureAreNamed() {
    Assumptions.assumeFalse(torch.cuda_is_available());
    assertEquals(Device.CPU, Device.of("auto"));
    var e =
        assertThrows(IllegalArgumentException.class, () -> Device.of("cuda:7").ensureAvailable());
    assertTrue(
        e.getMessage()
            .matches("device must be one that works here, found cuda:7: .*\"doctor\" lists .*"),
        e.getMessage());
  }

  @Test
  void withoutMemoryNothingIsComputed() {
    var e = assertThrows(IllegalArgumentException.class, Device.META::ensureAvailable);
    assertEquals(
        "device must be one that works here, found meta: it has no memory, so that nothing is"
            + " computed on it",
        e.getMessage());
  }

  @Test
  void whatIsThereAlreadyIsNotCopied() {
    Tensor here = torch.zeros(2);
    assertSame(here, Device.CPU.move(here));
    assertTrue(Device.META.move(here).is_meta());
    assertEquals(Device.META, Device.of(Device.META.move(here)));
  }

  @Test
  void tensorsWithAndWithoutMemoryDoNotMix() {
    Tensor x = Device.META.move(torch.zeros(2, 4));
    try (LoraLinear layer =
        new LoraLinear(torch.zeros(3, 4), null, LoraConfig.of(2, 2), DType.FLOAT32, 1)) {
      var e = assertThrows(UnsupportedOperationException.class, () -> layer.forward(x));
      assertEquals("x must be on cpu or cuda, found meta", e.getMessage());
    }
  }
}
