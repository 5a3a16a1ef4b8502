package org.sightline.vla.checkpoint;

import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.sightline.formats.file.InputFile;

/** Checks of paths that a caller names, before anything is written or takes time. */
public final class PathChecks {
  private PathChecks() {}

  /** A null stands for an argument that was not given. */
  public static void exists(String argument, Path path) {
    if (path != null && path.toString().isEmpty()) {
      throw new IllegalArgumentException(argument + " must name a file or folder, found nothing");
    }
    if (path != null && !InputFile.exists(path)) {
      boolean model = List.of("weights", "teacher", "adapter").contains(argument);
      throw new IllegalArgumentException(
          argument
              + ": no such file or folder: "
              + path
              + (model ? HubCache.ofUser().hint(path) : ""));
    }
  }

  /** As {@link #exists}, and it is no folder. */
  public static void isFile(String argument, Path path) {
    exists(argument, path);
    if (path != null && Files.isDirectory(path)) {
      throw new IllegalArgumentException(argument + " must be a file, found the folder " + path);
    }
  }

  /** A folder, or a name that is still free, and may be written to. */
  public static void canBeFolder(String argument, Path path) {
    if (path == null) {
      return;
    }
    if (path.toString().isEmpty()) {
      throw new IllegalArgumentException(argument + " must name a folder, found nothing");
    }
    Path there = path.toAbsolutePath();
    while (!InputFile.exists(there) && there.getParent() != null) {
      there = there.getParent();
    }
    if (!Files.isDirectory(there)) {
      throw new IllegalArgumentException(argument + " must be a folder, found the file " + there);
    }
    if (!Files.isWritable(there)) {
      throw new UncheckedIOException(new AccessDeniedException(there.toString()));
    }
  }
}
