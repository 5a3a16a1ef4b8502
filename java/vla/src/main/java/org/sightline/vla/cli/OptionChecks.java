package org.sightline.vla.cli;

import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.sightline.formats.file.InputFile;
import org.sightline.vla.model.OpenVlaConfig;

/**
 * Checks of single options beside those of numbers, {@link org.sightline.Checks}. They are made
 * before anything is written or takes time, and speak of the option as the user typed it; the
 * classes behind check again, in their own words.
 */
final class OptionChecks {
  private OptionChecks() {}

  /** Hidden states of a model, 0 those of its embeddings. */
  static void layers(List<Integer> layers, OpenVlaConfig model) {
    for (int layer : layers) {
      if (layer < 0 || layer > model.text().layers()) {
        throw new IllegalArgumentException(
            "--layers must be in 0..%d for %s, found %d"
                .formatted(model.text().layers(), model.preset(), layer));
      }
    }
  }

  /** A null stands for an option that was not given. */
  static void exists(String option, Path path) {
    if (path != null && path.toString().isEmpty()) {
      throw new IllegalArgumentException(option + " must name a file or folder, found nothing");
    }
    if (path != null && !InputFile.exists(path)) {
      boolean model = List.of("--weights", "--teacher", "--adapter").contains(option);
      throw new IllegalArgumentException(
          option
              + ": no such file or folder: "
              + path
              + (model ? HubCache.ofUser().hint(path) : ""));
    }
  }

  /** As {@link #exists}, and it is no folder. */
  static void isFile(String option, Path path) {
    exists(option, path);
    if (path != null && Files.isDirectory(path)) {
      throw new IllegalArgumentException(option + " must be a file, found the folder " + path);
    }
  }

  /** A folder, or a name that is still free, and may be written to. */
  static void canBeFolder(String option, Path path) {
    if (path == null) {
      return;
    }
    if (path.toString().isEmpty()) {
      throw new IllegalArgumentException(option + " must name a folder, found nothing");
    }
    Path there = path.toAbsolutePath();
    while (!InputFile.exists(there) && there.getParent() != null) {
      there = there.getParent();
    }
    if (!Files.isDirectory(there)) {
      throw new IllegalArgumentException(option + " must be a folder, found the file " + there);
    }
    if (!Files.isWritable(there)) {
      throw new UncheckedIOException(new AccessDeniedException(there.toString()));
    }
  }
}
