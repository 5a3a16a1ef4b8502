package org.sightline.vla.teacher.cache;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32C;
import org.sightline.formats.file.SharedFile;
import org.sightline.vla.data.image.ImageKey;

/**
 * Which picture's features are in which slot. A file of records, appended only after the features
 * they stand for are on the disk:
 *
 * <pre>
 * uint64 key high, uint64 key low, uint32 slot, uint32 CRC32C of the features, uint32 zero,
 * uint32 CRC32C of the 28 bytes before          little endian
 * </pre>
 *
 * A record that a crash cut short ends the file: it and what follows are cut off. Of two records of
 * one key the later one counts.
 */
final class EntryIndex implements AutoCloseable {
  static final int RECORD_BYTES = 32;

  /** Where a picture's features are, and the checksum they must have. */
  record Entry(ImageKey key, int slot, int checksum) {}

  private final SharedFile file;
  private final Map<ImageKey, Entry> entries = new HashMap<>();
  private int slots;
  private long end;

  EntryIndex(Path path) throws IOException {
    file = SharedFile.toWrite(path);
    try {
      read();
    } catch (IOException | RuntimeException e) {
      file.close();
      throw e;
    }
  }

  private void read() throws IOException {
    ByteBuffer block =
        ByteBuffer.allocate(RECORD_BYTES << 11).order(ByteOrder.LITTLE_ENDIAN).limit(0);
    boolean valid = true;
    while (valid) {
      if (!block.hasRemaining()) {
        file.read(block.clear(), end);
        block.flip();
      }
      valid = block.remaining() >= RECORD_BYTES && read(block);
      end += valid ? RECORD_BYTES : 0;
    }
    file.setSize(end);
  }

  /** Adds the entry of a record, if that is whole and its slot used or the next one. */
  private boolean read(ByteBuffer record) {
    int checksum = crc(record.duplicate().limit(record.position() + RECORD_BYTES - 4));
    ImageKey key = new ImageKey(record.getLong(), record.getLong());
    Entry entry = new Entry(key, record.getInt(), record.getInt());
    record.getInt();
    if (record.getInt() != checksum || entry.slot() < 0 || entry.slot() > slots) {
      return false;
    }
    add(entry);
    return true;
  }

  static int crc(ByteBuffer bytes) {
    CRC32C crc = new CRC32C();
    crc.update(bytes);
    return (int) crc.getValue();
  }

  /** The entry of a picture, or null. */
  Entry get(ImageKey key) {
    return entries.get(key);
  }

  /** Forgets a picture until it is added again. */
  void remove(ImageKey key) {
    entries.remove(key);
  }

  int size() {
    return entries.size();
  }

  /** Adds an entry in memory; {@link #append} makes it last. */
  void add(Entry entry) {
    entries.put(entry.key(), entry);
    slots = Math.max(slots, entry.slot() + 1);
  }

  /** The first slot that no entry has ever used. */
  int nextSlot() {
    return slots;
  }

  /** Writes entries whose features are durable. */
  void append(List<Entry> durable) throws IOException {
    ByteBuffer records =
        ByteBuffer.allocate(durable.size() * RECORD_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    for (Entry entry : durable) {
      int start = records.position();
      records.putLong(entry.key().high()).putLong(entry.key().low());
      records.putInt(entry.slot()).putInt(entry.checksum()).putInt(0);
      records.putInt(crc(records.duplicate().position(start).limit(start + RECORD_BYTES - 4)));
    }
    records.flip();
    file.write(records, end);
    end += records.capacity();
    file.force();
  }

  @Override
  public void close() throws IOException {
    file.close();
  }
}
