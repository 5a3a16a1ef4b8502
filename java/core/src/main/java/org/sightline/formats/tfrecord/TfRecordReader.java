package org.sightline.formats.tfrecord;

import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import org.sightline.formats.file.GitLfs;
import org.sightline.formats.file.SharedFile;

/**
 * Reads a TFRecord file. A record is
 *
 * <pre>
 * uint64 length            little endian
 * uint32 masked CRC32C of the 8 length bytes
 * byte   data[length]
 * uint32 masked CRC32C of data
 * </pre>
 *
 * Both checksums are verified, and the length is compared with what is left of the file and with
 * {@link #MAX_RECORD_BYTES} before anything is allocated. Every failure is a {@link
 * DatasetFormatException} naming file, record and byte offset. Records can be read in order ({@link
 * #next}) or by offset ({@link #read}).
 *
 * <p>Not thread-safe.
 */
public final class TfRecordReader implements Closeable {
  static final int HEADER_BYTES = 12;
  static final int FOOTER_BYTES = 4;

  /** A thousand times an episode of BridgeData: what asks for more memory is no episode. */
  static final int MAX_RECORD_BYTES = 1 << 29;

  private final Path file;
  private final SharedFile content;
  private final long size;
  private final ByteBuffer header =
      ByteBuffer.allocate(HEADER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
  private final ByteBuffer footer =
      ByteBuffer.allocate(FOOTER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
  private long position;
  private long record;

  /**
   * Opens a file.
   *
   * @throws IOException if it cannot be opened, or is a Git LFS pointer
   */
  public TfRecordReader(Path file) throws IOException {
    GitLfs.requireContent(file);
    this.file = file;
    this.content = SharedFile.toRead(file);
    this.size = content.size();
  }

  /** The file being read. */
  public Path file() {
    return file;
  }

  /** The byte offset of the record that {@link #next} will read. */
  public long position() {
    return position;
  }

  /** The next record in file order, or null after the last one. */
  public byte[] next() throws IOException {
    if (position == size) {
      return null;
    }
    byte[] data = read(position, record);
    position += HEADER_BYTES + (long) data.length + FOOTER_BYTES;
    record++;
    return data;
  }

  /**
   * The record that starts at a byte offset, as listed by {@link #index}. Does not move {@link
   * #next}.
   *
   * @param offset where the record's length field starts
   * @param record the record's number, for error messages
   */
  public byte[] read(long offset, long record) throws IOException {
    long length = readLength(offset, record);
    if (length > MAX_RECORD_BYTES) {
      throw DatasetFormatException.at(
          file,
          record,
          offset,
          "found a record of " + length + " bytes, expected at most " + MAX_RECORD_BYTES);
    }
    byte[] data = new byte[(int) length];
    readFully(ByteBuffer.wrap(data), offset + HEADER_BYTES, offset, record);
    footer.clear();
    readFully(footer, offset + HEADER_BYTES + length, offset, record);
    int stored = footer.getInt(0);
    int computed = MaskedCrc32c.of(data, 0, data.length);
    if (stored != computed) {
      throw DatasetFormatException.at(
          file, record, offset, crcMismatch("the data (" + length + " bytes)", stored, computed));
    }
    return data;
  }

  /**
   * Where the records of a file start.
   *
   * @param offsets byte offsets of the records whose headers are sound, in order
   * @param damage what is wrong with the record after them; null if the file ends there
   */
  public record Index(long[] offsets, CorruptRecordException damage) {}

  /**
   * The byte offset of every record. Only the headers are read and checked, so this is fast on
   * large files; a truncated last record is reported here, a damaged body when it is read.
   */
  public Index index() throws IOException {
    long[] offsets = new long[64];
    int count = 0;
    CorruptRecordException damage = null;
    try {
      for (long offset = 0; offset < size; count++) {
        if (count == offsets.length) {
          offsets = Arrays.copyOf(offsets, 2 * count);
        }
        offsets[count] = offset;
        offset += HEADER_BYTES + readLength(offset, count) + FOOTER_BYTES;
      }
    } catch (CorruptRecordException e) {
      damage = e;
    }
    return new Index(Arrays.copyOf(offsets, count), damage);
  }

  @Override
  public void close() throws IOException {
    content.close();
  }

  private long readLength(long offset, long record) throws IOException {
    long left = size - offset;
    if (offset < 0 || left < HEADER_BYTES) {
      throw DatasetFormatException.at(
          file,
          record,
          offset,
          "truncated header: found " + Math.max(0, left) + " bytes, expected " + HEADER_BYTES);
    }
    header.clear();
    readFully(header, offset, offset, record);
    int stored = header.getInt(8);
    int computed = MaskedCrc32c.of(header.array(), 0, 8);
    if (stored != computed) {
      String compression = offset == 0 ? compression() : "";
      throw DatasetFormatException.at(
          file,
          record,
          offset,
          compression.isEmpty()
              ? crcMismatch("the length field", stored, computed)
              : "found data compressed with "
                  + compression
                  + ", expected plain TFRecords: decompress the file first");
    }
    long length = header.getLong(0);
    long available = left - HEADER_BYTES - FOOTER_BYTES;
    if (length < 0 || length > available) {
      throw DatasetFormatException.at(
          file,
          record,
          offset,
          "truncated record: its length field says %s bytes, the file holds %s more"
              .formatted(Long.toUnsignedString(length), Math.max(0, available)));
    }
    return length;
  }

  /** What TensorFlow's writers can be told to compress a file with, by its first two bytes. */
  private String compression() {
    int start = Short.toUnsignedInt(header.order(ByteOrder.BIG_ENDIAN).getShort(0));
    header.order(ByteOrder.LITTLE_ENDIAN);
    boolean zlib = start >> 8 == 0x78 && start % 31 == 0;
    return start == 0x1f8b ? "gzip" : zlib ? "zlib" : "";
  }

  private void readFully(ByteBuffer buffer, long at, long offset, long record) throws IOException {
    content.read(buffer, at);
    if (buffer.hasRemaining()) {
      throw DatasetFormatException.at(
          file,
          record,
          offset,
          "the file ended while it was read: %s of %s bytes missing"
              .formatted(buffer.remaining(), buffer.limit()));
    }
  }

  private static String crcMismatch(String what, int stored, int computed) {
    return String.format(
        Locale.ROOT, "masked CRC32C of %s: found 0x%08x, expected 0x%08x", what, stored, computed);
  }
}
