package org.sightline.train.checkpoint;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalInt;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.sightline.Checks;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.file.AtomicFolder;
import org.sightline.formats.file.FolderLock;
import org.sightline.train.FineTuneConfig;
import org.sightline.train.RunIdentity;
import org.sightline.train.TrainingDivergedException;

/**
 * The newest checkpoints of one run, a folder each:
 *
 * <pre>
 * step-000000040/
 *   &lt;part&gt;.safetensors   tensors of a {@link Checkpointable}, if it has any
 *   state.json           the rest of the state of all parts
 *   manifest.json        size and SHA-256 of every other file; the run's identity
 * </pre>
 *
 * <p>A checkpoint is complete or not there: it is written under another name, every file made
 * durable (fsync), then renamed, and the folder made durable too. Older ones go only after that. If
 * writing fails, what was written of it is deleted and those before stay as they were.
 *
 * <p>{@code diverged-000000040/} is a checkpoint that a run diverged from ({@link
 * TrainingDivergedException}); it is not read any more.
 *
 * <p>One run uses a store at a time; a {@link FolderLock} makes sure of that.
 */
public final class CheckpointStore {
  private static final Pattern FOLDER = Pattern.compile("step-(\\d{9})");

  private final Path folder;
  private final int keep;
  private final FolderLock lock; // or null
  private final RunIdentity identity;
  private final boolean changesAccepted;

  private CheckpointStore(
      Path folder, int keep, FolderLock lock, RunIdentity identity, boolean changesAccepted) {
    this.folder = Objects.requireNonNull(folder, "folder");
    this.keep = keep;
    this.lock = lock;
    this.identity = identity;
    this.changesAccepted = changesAccepted;
    Checks.atLeast("keep", keep, 1);
  }

  /**
   * A store in a folder, which is created with the first checkpoint.
   *
   * @param keep how many checkpoints stay, ≥ 1
   */
  public CheckpointStore(Path folder, int keep) {
    this(folder, keep, null, new RunIdentity(Map.of()), false);
  }

  /** The same that changes nothing unless a lock is held. */
  public CheckpointStore lockedBy(FolderLock lock) {
    return new CheckpointStore(folder, keep, lock, identity, changesAccepted);
  }

  /**
   * The same that saves what its run is, too, and restores no checkpoint of another; without it a
   * run is what its {@link FineTuneConfig} says.
   */
  public CheckpointStore of(RunIdentity identity) {
    return new CheckpointStore(folder, keep, lock, identity, changesAccepted);
  }

  public boolean isOfAnyRun() {
    return identity.values().isEmpty();
  }

  /**
   * The same that restores checkpoints of other runs too, and says in a warning how they differ.
   */
  public CheckpointStore acceptingChanges() {
    return new CheckpointStore(folder, keep, lock, identity, true);
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
    requireLocked();
    Path temporary = folder.resolve("." + name(step) + ".tmp");
    try {
      Files.createDirectories(folder);
      clearLeftovers();
      Files.createDirectory(temporary);
      CheckpointParts.write(temporary, named);
      CheckpointManifest.write(temporary, step, identity);
      requireLocked();
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
      AtomicFolder.delete(old);
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
        AtomicFolder.delete(doomed);
      }
    }
  }

  private void requireLocked() throws IOException {
    if (lock != null) {
      lock.requireHeld();
    }
  }

  /** Keeps a checkpoint under another name, so that a resumed run goes back behind it. */
  void setAside(int step) throws IOException {
    requireLocked();
    Path aside = folder.resolve(name(step).replace("step", "diverged"));
    AtomicFolder.delete(aside); // Of an earlier try.
    Files.move(folder.resolve(name(step)), aside, StandardCopyOption.ATOMIC_MOVE);
  }

  /** What a process left that was killed while it wrote or deleted. */
  private void clearLeftovers() throws IOException {
    try (Stream<Path> list = Files.list(folder)) {
      for (Path path : list.toList()) {
        String name = path.getFileName().toString();
        if (name.startsWith(".step-") && name.endsWith(".tmp")) {
          AtomicFolder.delete(path);
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
    return "checkpoint of step %d in %s cannot be written: %s%s; nothing is left of it, %s"
        .formatted(step, folder, cause.getMessage(), room, kept);
  }

  /**
   * Restores the newest checkpoint that can be: whose bytes are as they were written, and from
   * which every part takes its state. If there is none yet, does nothing.
   *
   * @param parts as they were saved; parts in the checkpoint that are not among them are left out
   * @param warnings told of every newer checkpoint, and what is wrong with it
   * @return the step of the checkpoint; empty if there is none
   * @throws CheckpointException if there are checkpoints, but none can be restored: names each and
   *     what is wrong with it
   * @throws IllegalArgumentException if the newest that is whole is of another run: names each
   *     difference
   */
  public OptionalInt restore(
      List<? extends Checkpointable> parts, Consumer<? super String> warnings) throws IOException {
    Map<String, Checkpointable> named = CheckpointParts.byName(parts);
    requireLocked();
    if (lock != null && Files.isDirectory(folder)) {
      clearLeftovers();
    }
    List<Integer> steps = steps();
    List<String> defects = new ArrayList<>();
    for (int i = steps.size() - 1; i >= 0; i--) {
      int step = steps.get(i);
      Path checkpoint = folder.resolve(name(step));
      try {
        compare(checkpoint, CheckpointManifest.verify(checkpoint, step), warnings);
        CheckpointParts.read(checkpoint, named, changesAccepted ? warnings : null);
      } catch (AnotherRunException e) {
        throw e;
      } catch (IOException | RuntimeException e) {
        boolean fits = !(e instanceof IllegalArgumentException);
        defects.add(checkpoint + (fits ? " is damaged: " : ": ") + message(e));
        continue;
      }
      defects.forEach(defect -> warnings.accept(defect + "; going back to step " + step));
      return OptionalInt.of(step);
    }
    if (!defects.isEmpty()) {
      throw new CheckpointException(
          "no checkpoint in " + folder + " can be used:\n  " + String.join("\n  ", defects), null);
    }
    return OptionalInt.empty();
  }

  private void compare(Path checkpoint, RunIdentity found, Consumer<? super String> warnings) {
    List<String> differences = identity.differences(found);
    String problem = checkpoint + " is of another run: " + String.join("; ", differences);
    if (!differences.isEmpty() && !changesAccepted) {
      throw new AnotherRunException(problem);
    }
    if (!differences.isEmpty()) {
      warnings.accept(problem + "; going on with it all the same");
    }
  }

  /**
   * Passes unless the newest checkpoint says that it is of another run, before anything is done;
   * whether it is whole, {@link #restore} finds out.
   *
   * @throws IllegalArgumentException naming each difference, unless changes are accepted
   */
  public void requireSameRun() throws IOException {
    List<Integer> steps = steps();
    if (!steps.isEmpty()) {
      Path checkpoint = folder.resolve(name(steps.get(steps.size() - 1)));
      Map<String, String> found;
      try {
        found = CheckpointManifest.read(checkpoint).identity();
      } catch (IOException e) {
        return;
      }
      compare(checkpoint, new RunIdentity(found), ignored -> {});
    }
  }

  /** What the libraries below throw may say little without its kind. */
  private static String message(Exception e) {
    boolean tells =
        e instanceof IOException && !(e instanceof FileSystemException)
            || e instanceof UncheckedIOException
            || e instanceof IllegalArgumentException;
    return tells ? e.getMessage() : e.toString();
  }

  private static String name(int step) {
    return String.format(Locale.ROOT, "step-%09d", step);
  }

  private static void deleteAfter(Throwable failure, Path path) {
    try {
      AtomicFolder.delete(path);
    } catch (IOException e) {
      failure.addSuppressed(e);
    }
  }
}
