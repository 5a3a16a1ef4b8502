package org.sightline.formats.tfrecord;

import java.io.Closeable;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import org.sightline.formats.file.InputFile;

/**
 * Writes a TFRecord file: for each record its length (u64, little endian), the masked CRC32C of
 * these 8 bytes, the bytes, their masked CRC32C. Not thread-safe.
 */
public final class TfRecordWriter implements Closeable {
  private static final int HEADER_BYTES = Long.BYTES + Integer.BYTES;
  private static final int BUFFER_BYTES = 1 << 16;

  // Not a channel, which an interrupt of the thread would close.
  private final RandomAccessFile file;
  private final Path path;
  private final ByteBuffer buffer =
      ByteBuffer.allocate(BUFFER_BYTES).order(ByteOrder.LITTLE_ENDIAN);

  /** Creates the file, or empties an existing one. */
  public TfRecordWriter(Path file) throws IOException {
    this(file, 0);
  }

  /**
   * Goes on with a file after its first {@code keep} bytes; what follows them is cut off.
   *
   * @throws IOException if the file is shorter than that or cannot be written
   */
  public TfRecordWriter(Path file, long keep) throws IOException {
    path = file;
    this.file = new RandomAccessFile(InputFile.requireNoLink(file).toFile(), "rw");
    try {
      long length = this.file.length();
      if (length < keep) {
        throw new IOException(file + ": found " + length + " bytes, expected at least " + keep);
      }
      this.file.setLength(keep);
      this.file.seek(keep);
    } catch (IOException e) {
      this.file.close();
      throw e;
    }
  }

  /** Appends one record. */
  public void write(byte[] data) throws IOException {
    byte[] length =
        ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN).putLong(data.length).array();
    room(HEADER_BYTES);
    buffer.put(length).putInt(MaskedCrc32c.of(length, 0, length.length));
    for (int done = 0; done < data.length; ) {
      room(1);
      int part = Math.min(buffer.remaining(), data.length - done);
      buffer.put(data, done, part);
      done += part;
    }
    room(Integer.BYTES);
    buffer.putInt(MaskedCrc32c.of(data, 0, data.length));
  }

  /** Hands everything to the system, where other processes see it. */
  public void flush() throws IOException {
    try {
      file.write(buffer.array(), 0, buffer.position());
    } catch (IOException e) {
      throw InputFile.named(path, e);
    }
    buffer.clear();
  }

  /** Makes everything written durable and tells the file's size in bytes. */
  public long force() throws IOException {
    flush();
    try {
      file.getFD().sync();
      return file.getFilePointer();
    } catch (IOException e) {
      throw InputFile.named(path, e);
    }
  }

  private void room(int bytes) throws IOException {
    if (buffer.remaining() < bytes) {
      flush();
    }
  }

  @Override
  public void close() throws IOException {
    try (file) {
      flush();
    } catch (IOException e) {
      throw InputFile.named(path, e);
    }
  }
}
