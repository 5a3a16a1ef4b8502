package org.sightline.vla.data;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Assumptions;

/**
 * The real robot data that lies beside the repository, in {@code ../shared/data}. Another place is
 * named by {@code -Dsightline.tests.data=DIR}; {@code -Dsightline.tests.data.required=true} turns
 * the skip into a failure.
 */
public final class SharedData {
  private SharedData() {}

  /** The BridgeData slice, or the end of the test. */
  public static Path bridge() {
    Path folder = find();
    if (folder != null) {
      return folder;
    }
    String reason =
        "no bridge_dataset/1.0.0 in shared/data above "
            + Path.of("").toAbsolutePath()
            + " nor in -Dsightline.tests.data="
            + System.getProperty("sightline.tests.data");
    if (Boolean.getBoolean("sightline.tests.data.required")) {
      Assertions.fail(reason);
    }
    Assumptions.abort(reason);
    throw new AssertionError();
  }

  private static Path find() {
    String given = System.getProperty("sightline.tests.data");
    if (given != null) {
      Path folder = Path.of(given, "bridge_dataset", "1.0.0");
      return Files.isDirectory(folder) ? folder : null;
    }
    for (Path at = Path.of("").toAbsolutePath(); at != null; at = at.getParent()) {
      Path folder = at.resolve("shared/data/bridge_dataset/1.0.0");
      if (Files.isDirectory(folder)) {
        return folder;
      }
    }
    return null;
  }
}
