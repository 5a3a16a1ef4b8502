package org.sightline.formats.file;

import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Comparator;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Makes a folder that appears with all its files or not at all. */
public final class AtomicFolder {
  /** Fills the folder. */
  @FunctionalInterface
  public interface Body {
    void write(Path folder) throws IOException;
  }

  private static final String LOCK = ".lock";

  /** In the lock of a folder: that this class made it. */
  private static final String MARK = "Sightline is writing this folder\n";

  private AtomicFolder() {}

  /**
   * Runs {@code body} on a hidden folder beside {@code folder} and renames that when it is complete
   * and durable. If anything fails nothing is left, and a process that is killed leaves only the
   * hidden folder, {@code .NAME.PID.tmp}, which the next call for a folder in this place takes
   * away.
   *
   * @param folder must not exist, or be empty; its parents are created
   * @throws FileAlreadyExistsException if it exists and is not an empty folder
   */
  public static void write(Path folder, Body body) throws IOException {
    Path target = folder.toAbsolutePath().normalize();
    requireFree(folder);
    Path parent = Files.createDirectories(target.getParent());
    Path temporary =
        parent.resolve("." + target.getFileName() + "." + ProcessHandle.current().pid() + ".tmp");
    sweep(folder);
    Files.createDirectory(temporary);
    boolean done = false;
    try (FolderLock alive = lock(temporary)) {
      body.write(temporary);
      AtomicFile.syncFolder(temporary);
      Files.delete(temporary.resolve(LOCK));
      Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
      done = true;
    } catch (IOException e) {
      if (!done) { // As in AtomicFile.
        requireFree(folder); // something else may have filled it meanwhile
        throw e;
      }
    } finally {
      delete(temporary);
    }
    AtomicFile.syncFolder(parent);
  }

  /** Shows that the folder is still being written, to other machines too; ends with the process. */
  private static FolderLock lock(Path temporary) throws IOException {
    Path file = temporary.resolve(LOCK);
    try {
      Files.writeString(file, MARK);
    } catch (IOException e) {
      throw InputFile.named(file, e);
    }
    return AtomicFile.lock(file);
  }

  /**
   * Deletes what processes left that were killed while they wrote this folder, or others beside it.
   */
  public static void sweep(Path folder) throws IOException {
    Path target = folder.toAbsolutePath().normalize();
    for (Path draft : drafts(target.getParent(), ".+", "\\d+")) {
      Path file = draft.resolve(LOCK);
      if (!Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)) {
        continue;
      }
      try (FolderLock abandoned = FolderLock.of(file)) {
        String of = draft.getFileName().toString().replaceFirst("\\.\\d+\\.tmp$", "");
        if (of.equals("." + target.getFileName()) || Files.readString(file).equals(MARK)) {
          delete(draft);
        }
      } catch (IOException e) {
        // Somebody is at it, or it cannot be told whether anyone is: it stays.
      }
    }
  }

  /** What has the name of something that is being written in a folder. */
  static List<Path> drafts(Path parent, String name, String writer) throws IOException {
    if (!Files.isDirectory(parent)) {
      return List.of();
    }
    Pattern form = Pattern.compile("\\." + name + "\\." + writer + "\\.tmp");
    try (Stream<Path> files = Files.list(parent)) {
      return files.filter(f -> form.matcher(f.getFileName().toString()).matches()).toList();
    }
  }

  /**
   * Passes if nothing would be overwritten.
   *
   * @throws FileAlreadyExistsException as {@link #write}
   */
  public static void requireFree(Path folder) throws IOException {
    if (!Files.exists(folder)) {
      return;
    }
    if (Files.isDirectory(folder)) {
      try (Stream<Path> files = Files.list(folder)) {
        if (files.findAny().isEmpty()) {
          return;
        }
      }
    }
    throw new FileAlreadyExistsException(
        folder.toString(), null, "exists already; expected a name that is free or an empty folder");
  }

  /** Deletes a folder with all that is in it, if it is there. */
  public static void delete(Path folder) throws IOException {
    if (!Files.exists(folder)) {
      return;
    }
    List<Path> deepestFirst;
    try (Stream<Path> paths = Files.walk(folder)) {
      deepestFirst = paths.sorted(Comparator.reverseOrder()).toList();
    }
    for (Path path : deepestFirst) {
      Files.delete(path);
    }
  }
}
