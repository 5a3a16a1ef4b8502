package org.sightline.vla.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/** The folder a job writes to; an earlier job's files are not overwritten unasked. */
final class OutputFolder {
  private OutputFolder() {}

  static void prepare(Path folder, boolean overwrite) throws IOException {
    if (Files.exists(folder) && !Files.isDirectory(folder)) {
      throw new IllegalArgumentException("--output must be a folder, found the file " + folder);
    }
    Files.createDirectories(folder);
    try (Stream<Path> files = Files.list(folder)) {
      if (!overwrite && files.findAny().isPresent()) {
        throw new IllegalArgumentException(
            "--output must be an empty folder, found files in "
                + folder
                + " (--overwrite allows that)");
      }
    }
  }
}
