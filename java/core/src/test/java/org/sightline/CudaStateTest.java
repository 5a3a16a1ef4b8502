package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What is said of machines that this one is not. */
class CudaStateTest {
  private static Backend kernels(String cause) {
    return new Backend("cuda", cause.isEmpty(), cause, "", 1, 0, true);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "false| 0| no CUDA driver| libtorch's CUDA build is not loaded; it comes with"
            + " org.sightline:sightline-gpu (here with mvn -Pgpu) and needs CUDA 13's libraries; PARTS",
        "true| 0| no CUDA driver| no CUDA driver; PARTS",
        "true| 0| the CUDA driver supports CUDA 12.4, this build needs 13.0; update it|"
            + " the CUDA driver supports CUDA 12.4, this build needs 13.0; update it; PARTS",
        "true| 1| a T4 has compute capability 7.5, expected at least 8.0|"
            + " a T4 has compute capability 7.5, expected at least 8.0; PARTS",
        "true| 0| ''| libtorch has no CUDA device; look at CUDA_VISIBLE_DEVICES",
      })
  void causeAndCureAreNamed(boolean libtorch, int devices, String cause, String expected) {
    assertEquals(
        expected.replace("PARTS", "\"doctor\" lists the parts and who brings them"),
        new CudaState(libtorch, devices, kernels(cause)).obstacle(0));
  }

  @Test
  void devicesThereAreCanBeChosen() {
    CudaState two = new CudaState(true, 2, kernels(""));
    assertEquals(null, two.obstacle(0));
    assertEquals(null, two.obstacle(1));
    assertEquals("libtorch has 2, the last is cuda:1", two.obstacle(7));
  }
}
