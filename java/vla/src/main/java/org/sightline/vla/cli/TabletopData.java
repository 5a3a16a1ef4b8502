package org.sightline.vla.cli;

import java.io.IOException;
import java.nio.file.Path;

final class TabletopData {
  private TabletopData() {}

  static Path render(Path folder, long seed) throws IOException {
    throw new IOException("not yet");
  }
}
