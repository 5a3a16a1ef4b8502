package org.sightline.formats.file;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Keeps two writers from one folder: the system's lock on a file in it, which ends with the process
 * however that ends.
 *
 * <p>A lock is on a file, not on its name: who deletes the file lets a second writer make and lock
 * another of that name. {@link #requireHeld} tells, and belongs before every write.
 */
public final class FolderLock implements AutoCloseable {
  /**
   * Keys of the files that this process has locked. Such a file must not be opened again: on POSIX
   * systems closing any of its descriptors gives up the process's lock.
   */
  private static final Set<Object> HELD = ConcurrentHashMap.newKeySet();

  private final Path file;
  private final Object key;
  private final FileChannel channel;

  private FolderLock(Path file, Object key, FileChannel channel) {
    this.file = file;
    this.key = key;
    this.channel = channel;
  }

  /**
   * Takes the lock of a folder.
   *
   * @param file in the folder; made if it is not there, never deleted
   * @throws IOException if another process or this one has it
   */
  public static FolderLock of(Path file) throws IOException {
    try {
      Files.createFile(file);
    } catch (FileAlreadyExistsException e) {
      // Of an earlier writer.
    }
    FolderLock lock = take(file);
    try {
      // An overlay file system gives a file of a lower layer a new key when it is opened.
      if (!lock.key.equals(key(file))) {
        lock.close();
        lock = take(file);
      }
      lock.requireHeld();
      return lock;
    } catch (IOException | RuntimeException e) {
      lock.close();
      throw e;
    }
  }

  private static FolderLock take(Path file) throws IOException {
    Object key = key(InputFile.requireOwn(file));
    if (!HELD.add(key)) {
      throw inUse(file, "this process");
    }
    FileChannel channel = null;
    try {
      channel = FileChannel.open(file, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
      if (channel.tryLock() == null) {
        throw inUse(file, "another process");
      }
      return new FolderLock(file, key, channel);
    } catch (IOException | RuntimeException e) {
      if (channel != null) {
        channel.close();
      }
      HELD.remove(key);
      if (e instanceof OverlappingFileLockException) { // Held by another than this class.
        throw inUse(file, "this process");
      }
      throw e;
    }
  }

  /** What a file is, whatever its name; where a system does not tell, where it lies. */
  private static Object key(Path file) throws IOException {
    Object key =
        Files.readAttributes(file, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS).fileKey();
    return key == null ? file.toRealPath() : key;
  }

  private static IOException inUse(Path file, String user) {
    return new IOException(
        "%s is in use by %s, expected one writer at a time"
            .formatted(file.toAbsolutePath().getParent(), user));
  }

  /**
   * Passes if the file of the lock is still there under its name.
   *
   * @throws IOException if it was deleted or is another by now, so that there may be another writer
   */
  public void requireHeld() throws IOException {
    String found = "another file";
    try {
      if (key.equals(key(file))) {
        return;
      }
    } catch (NoSuchFileException e) {
      found = "no such file";
    }
    throw new IOException(
        "%s: found %s, expected the one that is locked: another process may write here"
            .formatted(file, found));
  }

  @Override
  public void close() throws IOException {
    try {
      channel.close();
    } finally {
      HELD.remove(key); // Not before: closing would take the lock of the next one, too.
    }
  }
}
