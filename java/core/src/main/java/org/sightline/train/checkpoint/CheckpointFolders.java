package org.sightline.train.checkpoint;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.file.AtomicFolder;

/**
 * The folders of checkpoints by their names, {@code step-000000040}, in one of their own. What is
 * half written or half deleted has a name that is none of these.
 */
record CheckpointFolders(Path parent) {
  private static final Pattern NAME = Pattern.compile("step-(\\d{9})");

  /** Steps there are folders of, ascending. */
  List<Integer> steps() throws IOException {
    if (!Files.isDirectory(parent)) {
      return List.of();
    }
    try (Stream<Path> list = Files.list(parent)) {
      return list.map(path -> NAME.matcher(path.getFileName().toString()))
          .filter(Matcher::matches)
          .map(matcher -> Integer.valueOf(matcher.group(1)))
          .sorted()
          .toList();
    }
  }

  Path of(int step) {
    return parent.resolve(name(step));
  }

  /** Where a checkpoint is written before it is {@link #publish published}. */
  Path draft(int step) {
    return parent.resolve("." + name(step) + ".tmp");
  }

  private static String name(int step) {
    return String.format(Locale.ROOT, "step-%09d", step);
  }

  void publish(int step) throws IOException {
    // Folders cannot be exchanged in one go; the one replaced is damaged or of the same bits.
    Path old = Files.exists(of(step)) ? hide(step) : null;
    try {
      Files.move(draft(step), of(step), StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      if (old != null) {
        Files.move(old, of(step), StandardCopyOption.ATOMIC_MOVE);
      }
      throw e;
    }
    if (old != null) {
      AtomicFolder.delete(old);
    }
    AtomicFile.syncFolder(parent);
  }

  /** Deletes all after a step, and those before it but the newest. */
  void prune(int step, int keep) throws IOException {
    List<Integer> steps = steps();
    int newest = steps.indexOf(step);
    for (int i = 0; i < steps.size(); i++) {
      if (i > newest || i <= newest - keep) {
        AtomicFolder.delete(hide(steps.get(i)));
      }
    }
  }

  /** Renames one that is to go: half a checkpoint must not look like one. */
  private Path hide(int step) throws IOException {
    Path doomed = parent.resolve("." + name(step) + ".old.tmp");
    return Files.move(of(step), doomed, StandardCopyOption.ATOMIC_MOVE);
  }

  void setAside(int step) throws IOException {
    Path aside = parent.resolve(name(step).replace("step", "diverged"));
    AtomicFolder.delete(aside); // Of an earlier try.
    Files.move(of(step), aside, StandardCopyOption.ATOMIC_MOVE);
  }

  /** Deletes what a process left that was killed while it wrote or deleted. */
  void clearLeftovers() throws IOException {
    try (Stream<Path> list = Files.list(parent)) {
      for (Path path : list.toList()) {
        String name = path.getFileName().toString();
        if (name.startsWith(".step-") && name.endsWith(".tmp")) {
          AtomicFolder.delete(path);
        }
      }
    }
  }
}
