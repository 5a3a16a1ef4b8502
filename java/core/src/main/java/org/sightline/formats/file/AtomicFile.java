package org.sightline.formats.file;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.regex.Pattern;

/** Writes a file so that a reader sees the old one or the new one whole, even across a crash. */
public final class AtomicFile {
  /** Writes the content. */
  public interface Body {
    /** Writes to the channel from its position on; it is closed by the caller. */
    void write(FileChannel channel) throws IOException;
  }

  private AtomicFile() {}

  /**
   * Writes a temporary file in the same folder, makes it durable and renames it. Links are
   * replaced, never written through.
   *
   * @throws IOException if it cannot be written; the folder is then as it was before
   */
  public static void write(Path file, Body body) throws IOException {
    Path target = file.toAbsolutePath();
    Path folder = target.getParent();
    if (folder == null || !Files.isDirectory(folder)) {
      throw new IOException(file + ": the folder " + folder + " does not exist");
    }
    if (Files.isDirectory(target, LinkOption.NOFOLLOW_LINKS)) {
      InputFile.require(file); // Says so; the rename would, of the temporary file.
    }
    // In the same folder: a rename is atomic only within one file system. Not createTempFile: its
    // owner-only permissions would pass on to the file.
    Path temporary =
        folder.resolve(
            ".%s.%s-%s.tmp"
                .formatted(
                    target.getFileName(),
                    ProcessHandle.current().pid(),
                    Thread.currentThread().getId()));
    sweep(file);
    Files.deleteIfExists(temporary);
    boolean done = false;
    // The lock until it has its name: closing the channel gives it up.
    try (FolderLock alive = lock(temporary);
        FileChannel channel =
            FileChannel.open(
                temporary,
                StandardOpenOption.WRITE,
                StandardOpenOption.CREATE,
                LinkOption.NOFOLLOW_LINKS)) {
      body.write(channel);
      channel.force(true);
      Files.move(
          temporary, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
      done = true;
    } catch (IOException e) {
      if (!done) { // After that only a descriptor was not closed well, of a file that is durable.
        throw InputFile.named(file, e);
      }
    } finally {
      Files.deleteIfExists(temporary);
    }
    syncFolder(folder);
  }

  /** Shows that a draft is still being written; ends with the process. */
  static FolderLock lock(Path draft) {
    try {
      return FolderLock.of(draft);
    } catch (IOException e) {
      return null; // A file system without locks: then nobody finds this draft abandoned either.
    }
  }

  /** Deletes what processes left that were killed while they wrote this very file. */
  public static void sweep(Path file) throws IOException {
    Path target = file.toAbsolutePath();
    String name = Pattern.quote(target.getFileName().toString());
    for (Path draft : AtomicFolder.drafts(target.getParent(), name, "\\d+-\\d+")) {
      try (FolderLock abandoned = FolderLock.of(draft)) {
        Files.delete(draft);
      } catch (IOException e) {
        // Somebody is at it, or it cannot be told whether anyone is: it stays.
      }
    }
  }

  /** Writes a text in UTF-8, as {@link #write}. */
  public static void writeText(Path file, String text) throws IOException {
    ByteBuffer bytes = ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
    write(file, channel -> writeFully(channel, bytes));
  }

  /** Writes all that remains of a buffer. */
  public static void writeFully(FileChannel channel, ByteBuffer bytes) throws IOException {
    while (bytes.hasRemaining()) {
      channel.write(bytes);
    }
  }

  /**
   * Makes creations, renames and deletions in a folder durable, where the system lets a folder be
   * opened (not Windows).
   */
  public static void syncFolder(Path folder) {
    try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
      channel.force(true);
    } catch (IOException e) {
      // The files are complete and in place; only surviving a power cut is left to the system.
    }
  }
}
