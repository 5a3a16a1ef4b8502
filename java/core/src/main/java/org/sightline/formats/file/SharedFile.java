package org.sightline.formats.file;

import java.io.Closeable;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.AccessMode;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/**
 * A file that stays open when a thread that uses it is interrupted. A {@link FileChannel} would be
 * closed then, and with it the object around it, for every thread and for good. Thread-safe.
 */
public final class SharedFile implements Closeable {
  private static final int PIECE_BYTES = 1 << 16;

  private interface Work {
    void run() throws IOException;
  }

  private final Path path;
  private final RandomAccessFile file;
  private final byte[] piece = new byte[PIECE_BYTES];

  private SharedFile(Path path, String mode) throws IOException {
    this.path = path;
    file = new RandomAccessFile(path.toFile(), mode);
  }

  /** Opens a file that exists. */
  public static SharedFile toRead(Path path) throws IOException {
    InputFile.require(path);
    path.getFileSystem().provider().checkAccess(path, AccessMode.READ); // Says well what is amiss.
    return new SharedFile(path, "r");
  }

  /** Opens a file for reading and writing; creates it if it is not there. */
  public static SharedFile toWrite(Path path) throws IOException {
    return new SharedFile(path, "rw");
  }

  /** Its length in bytes. */
  public long size() throws IOException {
    return file.length();
  }

  /** Cuts it short, or makes it longer by zeros that take no room on the disk. */
  public synchronized void setSize(long bytes) throws IOException {
    named(() -> file.setLength(bytes));
  }

  /** Fills a buffer from a position on; some of it remains only where the file ends. */
  public synchronized void read(ByteBuffer into, long position) throws IOException {
    named(
        () -> {
          file.seek(position);
          while (into.hasRemaining()) {
            int read = file.read(piece, 0, Math.min(piece.length, into.remaining()));
            if (read < 0) {
              return;
            }
            into.put(piece, 0, read);
          }
        });
  }

  /** Writes all that remains of a buffer. */
  public synchronized void write(ByteBuffer from, long position) throws IOException {
    named(
        () -> {
          file.seek(position);
          while (from.hasRemaining()) {
            int bytes = Math.min(piece.length, from.remaining());
            from.get(piece, 0, bytes);
            file.write(piece, 0, bytes);
          }
        });
  }

  /** Makes durable what was written. */
  public void force() throws IOException {
    named(() -> file.getFD().sync());
  }

  /**
   * A part of the file as memory to read from. Only a channel can map, so a thread does it that
   * nobody knows and could interrupt.
   */
  public ByteBuffer map(long position, long bytes) throws IOException {
    try {
      return CompletableFuture.supplyAsync(
              () -> mapInterruptibly(position, bytes),
              task -> new Thread(task, "sightline-map").start())
          .join();
    } catch (CompletionException e) {
      if (e.getCause() instanceof UncheckedIOException failure) {
        throw InputFile.named(path, failure.getCause());
      }
      throw e;
    }
  }

  private ByteBuffer mapInterruptibly(long position, long bytes) {
    try {
      return file.getChannel().map(FileChannel.MapMode.READ_ONLY, position, bytes);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void named(Work work) throws IOException {
    try {
      work.run();
    } catch (IOException e) {
      throw InputFile.named(path, e);
    }
  }

  @Override
  public synchronized void close() throws IOException {
    named(file::close);
  }
}
