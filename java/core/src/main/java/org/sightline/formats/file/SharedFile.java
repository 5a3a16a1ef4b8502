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
    if (into.isDirect() && into.remaining() > piece.length) {
      throughChannel(channel -> readDirect(channel, into, position));
      return;
    }
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

  /** A quarter faster than in pieces, which are copied. */
  private static ByteBuffer readDirect(FileChannel channel, ByteBuffer into, long position)
      throws IOException {
    long from = position - into.position();
    while (into.hasRemaining() && channel.read(into, from + into.position()) >= 0) {}
    return into;
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

  /** A part of the file as memory to read from. */
  public ByteBuffer map(long position, long bytes) throws IOException {
    return throughChannel(channel -> channel.map(FileChannel.MapMode.READ_ONLY, position, bytes));
  }

  private interface ChannelUse {
    ByteBuffer apply(FileChannel channel) throws IOException;
  }

  /** What only a channel can do, by a thread that nobody knows and could interrupt. */
  private ByteBuffer throughChannel(ChannelUse use) throws IOException {
    try {
      return CompletableFuture.supplyAsync(
              () -> unchecked(use), task -> new Thread(task, "sightline-file").start())
          .join();
    } catch (CompletionException e) {
      if (e.getCause() instanceof UncheckedIOException failure) {
        throw InputFile.named(path, failure.getCause());
      }
      throw e;
    }
  }

  private ByteBuffer unchecked(ChannelUse use) {
    try {
      return use.apply(file.getChannel());
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
