package org.sightline.vla;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * What Python libraries make of tiny random models and of what goes into them: committed files,
 * made by the scripts in {@code src/test/python}. {@code -Dsightline.fixtures=DIR} names another
 * folder, for instance one that newer libraries have filled.
 */
public final class Fixtures {
  private Fixtures() {}

  /** The folder of all fixtures. */
  public static Path root() {
    return Path.of(System.getProperty("sightline.fixtures", "src/test/fixtures"));
  }

  /** The fixtures of one kind, each a folder; there must be some. */
  public static List<Path> folders(String kind) throws IOException {
    Path folder = root().resolve(kind);
    try (Stream<Path> fixtures = Files.list(folder)) {
      List<Path> folders = fixtures.filter(Files::isDirectory).sorted().toList();
      if (folders.isEmpty()) {
        throw new IOException(
            "no fixtures in %s: the scripts in src/test/python make them"
                .formatted(folder.toAbsolutePath()));
      }
      return folders;
    }
  }
}
