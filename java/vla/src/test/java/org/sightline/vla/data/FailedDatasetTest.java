package org.sightline.vla.data;

import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.FailedWrites;

/** A dataset that cannot be written is never taken for one. */
class FailedDatasetTest {
  @TempDir private Path parent;

  @Test
  void everyWrite() throws Exception {
    Path folder = parent.resolve("data");
    FailedWrites.of(
        parent,
        () -> {
          try {
            TestData.write(folder, 2, 2, 1);
          } catch (IOException | UncheckedIOException e) {
            assertFalse(Files.exists(folder.resolve("dataset_info.json")));
            try (Stream<Path> files = Files.walk(folder)) {
              files.sorted((a, b) -> b.compareTo(a)).forEach(file -> file.toFile().delete());
            }
            throw e;
          }
        });
  }
}
