package org.sightline.train.checkpoint;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalInt;
import java.util.function.Consumer;
import org.sightline.Checks;
import org.sightline.formats.file.AtomicFolder;
import org.sightline.formats.file.FolderLock;

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
 * <p>{@code diverged-000000040/} is a checkpoint that a run diverged from ({@code
 * TrainingDivergedException}); it is not read any more.
 *
 * <p>One run uses a store at a time; a {@link FolderLock} makes sure of that.
 */
public final class CheckpointStore {
  private final CheckpointFolders folders;
  private final int keep;
  private final FolderLock lock; // or null
  private final RunIdentity identity;
  private final boolean changesAccepted;

  private CheckpointStore(
      Path folder, int keep, FolderLock lock, RunIdentity identity, boolean changesAccepted) {
    this.folders = new CheckpointFolders(Objects.requireNonNull(folder, "folder"));
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
    return new CheckpointStore(folders.parent(), keep, lock, identity, changesAccepted);
  }

  /**
   * The same that saves what its run is, too, and restores no checkpoint of another; without it a
   * run is what its {@code FineTuneConfig} says.
   */
  public CheckpointStore of(RunIdentity identity) {
    return new CheckpointStore(folders.parent(), keep, lock, identity, changesAccepted);
  }

  RunIdentity identity() {
    return identity;
  }

  /**
   * The same that restores checkpoints of other runs too, and says in a warning how they differ.
   */
  public CheckpointStore acceptingChanges() {
    return new CheckpointStore(folders.parent(), keep, lock, identity, true);
  }

  /** The steps there are checkpoints of, ascending, whether readable or not. */
  public List<Integer> steps() throws IOException {
    return folders.steps();
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
    Path draft = folders.draft(step);
    try {
      Files.createDirectories(folders.parent());
      folders.clearLeftovers();
      Files.createDirectory(draft);
      CheckpointParts.write(draft, named);
      CheckpointManifest.write(draft, step, identity);
      requireLocked();
      folders.publish(step);
    } catch (IOException | RuntimeException | Error e) {
      deleteAfter(e, draft);
      if (e instanceof IOException || e instanceof UncheckedIOException) {
        throw new CheckpointException(failure(step, e), e);
      }
      throw e;
    }
    folders.prune(step, keep);
  }

  private void requireLocked() throws IOException {
    if (lock != null) {
      lock.requireHeld();
    }
  }

  /** Keeps a checkpoint under another name, so that a resumed run goes back behind it. */
  void setAside(int step) throws IOException {
    requireLocked();
    folders.setAside(step);
  }

  private String failure(int step, Throwable cause) {
    String room = "";
    String kept = "none is complete";
    try {
      room = " (" + Files.getFileStore(folders.parent()).getUsableSpace() + " bytes free)";
      List<Integer> steps = steps();
      if (!steps.isEmpty()) {
        kept = "the newest complete one is of step " + steps.get(steps.size() - 1);
      }
    } catch (IOException e) {
      cause.addSuppressed(e);
    }
    return "checkpoint of step %d in %s cannot be written: %s%s; nothing is left of it, %s"
        .formatted(step, folders.parent(), cause.getMessage(), room, kept);
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
    if (lock != null && Files.isDirectory(folders.parent())) {
      folders.clearLeftovers();
    }
    List<Integer> steps = steps();
    List<String> defects = new ArrayList<>();
    for (int i = steps.size() - 1; i >= 0; i--) {
      int step = steps.get(i);
      Path checkpoint = folders.of(step);
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
          "no checkpoint in %s can be used:\n  %s"
              .formatted(folders.parent(), String.join("\n  ", defects)),
          null);
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
      Path checkpoint = folders.of(steps.get(steps.size() - 1));
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

  private static void deleteAfter(Throwable failure, Path path) {
    try {
      AtomicFolder.delete(path);
    } catch (IOException e) {
      failure.addSuppressed(e);
    }
  }
}
