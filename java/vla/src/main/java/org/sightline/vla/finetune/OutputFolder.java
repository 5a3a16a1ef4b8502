package org.sightline.vla.finetune;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.stream.Stream;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.file.AtomicFolder;
import org.sightline.formats.file.FolderLock;
import org.sightline.formats.json.JsonFields;
import org.sightline.train.Mode;
import org.sightline.vla.checkpoint.PathChecks;

/** The folder a job writes to; an earlier job's files are not overwritten unasked. */
final class OutputFolder {
  private static final String LOCK = ".lock";

  private OutputFolder() {}

  /**
   * Keeps other runs out of a folder.
   *
   * @throws IOException if one writes to it
   */
  static FolderLock lock(Path folder) throws IOException {
    return FolderLock.of(folder.resolve(LOCK));
  }

  /** Passes if a job may write there; changes nothing. */
  static void requireUsable(Path folder, boolean overwrite) throws IOException {
    PathChecks.canBeFolder("output", folder);
    if (overwrite || !Files.exists(folder)) {
      return;
    }
    try (Stream<Path> files = Files.list(folder)) {
      if (files.anyMatch(file -> !file.endsWith(LOCK))) {
        throw new IllegalArgumentException(
            "output must be an empty folder, found files in "
                + folder
                + " (Start.OVERWRITE allows that, Start.RESUME goes on with the run in it)");
      }
    }
  }

  /**
   * Takes away what an earlier run left and must not be taken for a part of this one. Only under
   * the folder's lock: the earlier run might still be writing.
   *
   * @param randomBase whether this run draws a base model of its own
   * @param randomTeacher whether it draws a teacher
   * @throws IllegalArgumentException if a base model is in the place of this run's that no earlier
   *     run has drawn
   */
  static void clear(Path folder, boolean randomBase, boolean randomTeacher) throws IOException {
    Path base = folder.resolve(FineTuneJob.BASE);
    if (randomBase && Files.exists(base)) {
      Path run = folder.resolve(RunFile.NAME);
      if (!Files.exists(run) || JsonFields.read(run).object("options").has("weights")) {
        throw new IllegalArgumentException(
            "output must be free for this run's base model, found %s, which no run has drawn"
                .formatted(base));
      }
      AtomicFolder.delete(base);
    }
    AtomicFolder.sweep(base);
    AtomicFolder.delete(folder.resolve(DrawnInputs.UNFINISHED_DATA));
    AtomicFile.sweep(folder.resolve(FineTuneJob.TEACHER));
    if (randomTeacher) {
      Files.deleteIfExists(folder.resolve(FineTuneJob.TEACHER));
    }
    Files.deleteIfExists(folder.resolve(FittedProjectors.NAME));
    AtomicFile.sweep(folder.resolve(FittedProjectors.NAME));
    for (Mode mode : Mode.values()) {
      Path run = folder.resolve(mode.name().toLowerCase(Locale.ROOT));
      ModeResult.delete(run);
      AtomicFolder.delete(run.resolve(RunFile.CHECKPOINTS));
      AtomicFolder.delete(run.resolve(RunFile.BEST));
      Files.deleteIfExists(run.resolve("adapter_model.safetensors"));
      AtomicFile.sweep(run.resolve("adapter_model.safetensors"));
    }
  }
}
