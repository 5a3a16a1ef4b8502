package org.sightline.vla.finetune;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class MemoryCheckTest {
  /** A nano model needs more than 10 MB and less than 10 GB. */
  @Test
  void aDeviceThatIsTooSmallIsNamedWithWhatToLower() {
    JobConfig config = JobConfig.builder(Path.of("")).build();
    assertDoesNotThrow(() -> MemoryCheck.require(config, "cuda:0", 10_000_000_000L));
    String message =
        assertThrows(
                IllegalArgumentException.class,
                () -> MemoryCheck.require(config, "cuda:0", 10_000_000))
            .getMessage();
    assertTrue(
        message.matches(
            "a step needs at least \\d+\\.\\d MB, cuda:0 has 10\\.0 MB: lower batchSize, found 8 .*"),
        message);
  }
}
