package org.sightline.train;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalInt;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.sightline.formats.AtomicFile;

/**
 * The newest checkpoints of one run, a folder each:
 *
 * <pre>
 * step-000000040/
 *   &lt;part&gt;.safetensors   tensors of a {@link Checkpointable}, if it has any
 *   state.json           the rest of the state of all parts
 *   manifest.json        size and SHA-256 of every other file
 * </pre>
 *
 * <p>A checkpoint is complete or not there: it is written under another name, every file made
 * durable (fsync), then renamed, and the folder made durable too. Older ones go only after that. If
 * writing fails, what was written of it is deleted and those before stay as they were.
 *
 * <p>{@code diverged-000000040/} is a checkpoint that a run diverged from ({@link
 * TrainingDivergedException}); it is not read any more.
 *
 * <p>One run uses a store at a time.
 */
public final class CheckpointStore {
  private static final Pattern FOLDER = Pattern.compile("step-(\\d{9})");

  private final Path folder;
  private final int keep;

  /**
   * A store in a folder, which is created with the first checkpoint.
   *
   * @param keep how many checkpoints stay, ≥ 1
   */
  public CheckpointStore(Path folder, int keep) {
    this.folder = Objects.requireNonNull(folder, "folder");
    this.keep = keep;
    if (keep < 1) {
      throw new IllegalArgumentException("keep must be at least 1, found " + keep);
    }
  }

  /** The folder it was made with. */
  public Path folder() {
    return folder;
  }

  /** The steps there are checkpoints of, ascending, whether readable or not. */
  public List<Integer> steps() throws IOException {
    if (!Files.isDirectory(folder)) {
      return List.of();
    }
    try (Stream<Path> list = Files.list(folder)) {
      return list.map(path -> FOLDER.matcher(path.getFileName().toString()))
          .filter(Matcher::matches)
          .map(matcher -> Integer.valueOf(matcher.group(1)))
          .sorted()
          .toList();
    }
  }

  /**
   * Writes a checkpoint. One of the same step is replaced; those of later steps, which a run that
   * went back behind them has left, are deleted, and of the earlier ones all but the newest.
   *
   * @param step optimizer steps done
   * @param parts with distinct names
   * @throws CheckpointException if it cannot be written
   */
  public void save(int step, List<? extends Checkpointable> parts) throws IOException {
    Map<String, Checkpointable> named = CheckpointParts.byName(parts);
    Path temporary = folder.resolve("." + name(step) + ".tmp");
    try {
      Files.createDirectories(folder);
      clearLeftovers();
      Files.createDirectory(temporary);
      CheckpointParts.write(temporary, named);
      CheckpointManifest.write(temporary, step);
      replace(temporary, folder.resolve(name(step)));
    } catch (IOException | RuntimeException | Error e) {
      deleteAfter(e, temporary);
      if (e instanceof IOException || e instanceof UncheckedIOException) {
        throw new CheckpointException(failure(step, e), e);
      }
      throw e;
    }
    prune(step);
  }

  private void replace(Path temporary, Path target) throws IOException {
    if (Files.exists(target)) {
      // Folders cannot be exchanged in one go; the one replaced is damaged or of the same bits.
      Path old = folder.resolve("." + target.getFileName() + ".old.tmp");
      Files.move(target, old, StandardCopyOption.ATOMIC_MOVE);
      Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
      delete(old);
    } else {
      Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
    }
    AtomicFile.syncFolder(folder);
  }

  private void prune(int step) throws IOException {
    List<Integer> steps = steps();
    int newest = steps.indexOf(step);
    for (int i = 0; i < steps.size(); i++) {
      if (i > newest || i <= newest - keep) {
        // Renamed first: half a checkpoint must not look like one.
        Path doomed = folder.resolve("." + name(steps.get(i)) + ".old.tmp");
        Files.move(folder.resolve(name(steps.get(i))), doomed, StandardCopyOption.ATOMIC_MOVE);
        delete(doomed);
      }
    }
  }

  /** Keeps a checkpoint under another name, so that a resumed run goes back behind it. */
  void setAside(int step) throws IOException {
    Path aside = folder.resolve(name(step).replace("step", "diverged"));
    delete(aside); // Of an earlier try.
    Files.move(folder.resolve(name(step)), aside, StandardCopyOption.ATOMIC_MOVE);
  }

  /** What a process left that was killed while it wrote or deleted. */
  private void clearLeftovers() throws IOException {
    try (Stream<Path> list = Files.list(folder)) {
      for (Path path : list.toList()) {
        String name = path.getFileName().toString();
        if (name.startsWith(".step-") && name.endsWith(".tmp")) {
          delete(path);
        }
      }
    }
  }

  private String failure(int step, Throwable cause) {
    String room = "";
    String kept = "none is complete";
    try {
      room = " (" + Files.getFileStore(folder).getUsableSpace() + " bytes free)";
      List<Integer> steps = steps();
      if (!steps.isEmpty()) {
        kept = "the newest complete one is of step " + steps.get(steps.size() - 1);
      }
    } catch (IOException e) {
      cause.addSuppressed(e);
    }
    return "checkpoint of step "
        + step
        + " in "
        + folder
        + " cannot be written: "
        + cause.getMessage()
        + room
        + "; nothing is left of it, "
        + kept;
  }

  /**
   * Restores the newest checkpoint whose bytes are as they were written; if there is none yet, does
   * nothing.
   *
   * @param parts as they were saved; parts in the checkpoint that are not among them are left out
   * @param warnings told of every newer checkpoint that is damaged
   * @return the step of the checkpoint; empty if there is none
   * @throws CheckpointException if there are checkpoints, but all of them damaged
   * @throws IllegalArgumentException if a part is missing or does not fit
   */
  public OptionalInt restore(
      List<? extends Checkpointable> parts, Consumer<? super String> warnings) throws IOException {
    Map<String, Checkpointable> named = CheckpointParts.byName(parts);
    List<Integer> steps = steps();
    for (int i = steps.size() - 1; i >= 0; i--) {
      int step = steps.get(i);
      Path checkpoint = folder.resolve(name(step));
      try {
        CheckpointManifest.verify(checkpoint, step);
      } catch (IOException e) {
        String problem = checkpoint + " is damaged: " + e.getMessage();
        if (i == 0) {
          throw new CheckpointException(problem + "; no other checkpoint is left", e);
        }
        warnings.accept(problem + "; going back to step " + steps.get(i - 1));
        continue;
      }
      CheckpointParts.read(checkpoint, named);
      return OptionalInt.of(step);
    }
    return OptionalInt.empty();
  }

  private static String name(int step) {
    return String.format(Locale.ROOT, "step-%09d", step);
  }

  private static void deleteAfter(Throwable failure, Path path) {
    try {
      delete(path);
    } catch (IOException e) {
      failure.addSuppressed(e);
    }
  }

  private static void delete(Path path) throws IOException {
    if (!Files.exists(path)) {
      return;
    }
    try (Stream<Path> tree = Files.walk(path)) {
      for (Path each : tree.sorted(Comparator.reverseOrder()).toList()) {
        Files.deleteIfExists(each);
      }
    }
  }
}
