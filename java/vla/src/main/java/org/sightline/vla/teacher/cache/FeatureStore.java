package org.sightline.vla.teacher.cache;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.file.FolderLock;
import org.sightline.formats.file.GitLfs;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.file.SharedFile;
import org.sightline.vla.data.image.ImageKey;

/**
 * Features on disk, one fixed-size entry a picture, read through a memory map:
 *
 * <pre>
 * DIR/HASH/kind.txt        whose features, of what pixels ({@link FeatureKind})
 * DIR/HASH/features.bf16   slot i at byte i·2·N·Z: [N,Z] values of bf16, little endian
 * DIR/HASH/index           which picture is in which slot ({@link EntryIndex})
 * DIR/HASH/lock            held by the one process that uses the folder
 * </pre>
 *
 * HASH is the start of the kind's hash. An entry can be read only once it is whole: features are
 * forced to disk before their index record is written, and their checksum is compared on each read.
 * A full disk ends the storing, not the run; so does a lock file that was taken away. Thread-safe.
 */
public final class FeatureStore implements AutoCloseable {
  private static final int HASH_DIGITS = 16;
  private static final long SEGMENT_BYTES = 64L << 20;

  private final Path folder;
  private final FeatureKind kind;
  private final FolderLock lock;
  private final SharedFile file;
  private final EntryIndex index;
  private final long entriesPerSegment;
  private final List<ByteBuffer> segments = new ArrayList<>();
  private final List<EntryIndex.Entry> unforced = new ArrayList<>();
  private IOException writeFailure;
  private long damaged;
  private boolean closed;

  /**
   * Opens or creates the store of a kind.
   *
   * @param directory may hold stores of many kinds; created if missing
   * @throws IOException if another process uses it, or it cannot be read
   */
  public static FeatureStore open(Path directory, FeatureKind kind) throws IOException {
    Path folder = directory.resolve(kind.hash().substring(0, HASH_DIGITS));
    Files.createDirectories(folder);
    FolderLock lock = FolderLock.of(folder.resolve("lock"));
    try {
      return new FeatureStore(folder, kind, lock);
    } catch (IOException | RuntimeException e) {
      lock.close();
      throw e;
    }
  }

  private FeatureStore(Path folder, FeatureKind kind, FolderLock lock) throws IOException {
    this.folder = folder;
    this.kind = kind;
    this.lock = lock;
    this.entriesPerSegment = Math.max(1, SEGMENT_BYTES / kind.entryBytes());
    Path kindFile = folder.resolve("kind.txt");
    if (!Files.exists(kindFile)) {
      AtomicFile.writeText(kindFile, kind + "\n");
    } else if (!InputFile.text(kindFile).equals(kind + "\n")) {
      throw new IOException(
          "%s: found %s, expected %s; delete the folder to start anew"
              .formatted(kindFile, InputFile.text(kindFile).strip(), kind));
    }
    for (String name : List.of("index", "features.bf16")) {
      if (Files.exists(InputFile.requireOwn(folder.resolve(name)))) {
        GitLfs.requireContent(folder.resolve(name));
      }
    }
    this.index = new EntryIndex(folder.resolve("index"));
    try {
      this.file = SharedFile.toWrite(folder.resolve("features.bf16"));
      long segment = entriesPerSegment * kind.entryBytes();
      file.setSize((file.size() + segment - 1) / segment * segment); // Should it be cut short.
    } catch (IOException e) {
      index.close();
      throw e;
    }
  }

  /** The folder of this kind's files. */
  public Path folder() {
    return folder;
  }

  /** What it holds. */
  public FeatureKind kind() {
    return kind;
  }

  /** Number of pictures it has the features of. */
  public synchronized int size() {
    return index.size();
  }

  /** Entries whose checksum did not fit and that were given up. */
  public synchronized long damaged() {
    return damaged;
  }

  /** Why nothing more is stored (the disk is full, mostly); null while all is well. */
  public synchronized IOException writeFailure() {
    return writeFailure;
  }

  /** The features of a picture, {@link FeatureKind#entryBytes} bytes to read; null if not there. */
  public synchronized ByteBuffer get(ImageKey key) throws IOException {
    requireOpen();
    EntryIndex.Entry entry = index.get(key);
    if (entry == null) {
      return null;
    }
    int bytes = kind.entryBytes();
    if (file.size() >= (entry.slot() + 1L) * bytes) {
      int at = (int) (entry.slot() % entriesPerSegment) * bytes;
      ByteBuffer data = segment(entry.slot() / entriesPerSegment).slice(at, bytes);
      if (EntryIndex.crc(data.duplicate()) == entry.checksum()) {
        return data.asReadOnlyBuffer();
      }
    }
    damaged++;
    index.remove(key);
    return null;
  }

  /**
   * Stores a picture's features; they can be read at once, and survive a crash after {@link
   * #force}.
   *
   * @param features exactly {@link FeatureKind#entryBytes} bytes
   */
  public synchronized void put(ImageKey key, ByteBuffer features) {
    requireOpen();
    if (features.remaining() != kind.entryBytes()) {
      throw new IllegalArgumentException(
          "features must have " + kind.entryBytes() + " bytes, found " + features.remaining());
    }
    if (writeFailure != null) {
      return;
    }
    int slot = index.nextSlot();
    try {
      lock.requireHeld();
      // Whole segments are mapped; the file is sparse where nothing is written yet.
      long end = (slot / entriesPerSegment + 1) * entriesPerSegment * kind.entryBytes();
      if (file.size() < end) {
        file.setSize(end);
      }
      file.write(features.duplicate(), (long) slot * kind.entryBytes());
      var entry = new EntryIndex.Entry(key, slot, EntryIndex.crc(features.duplicate()));
      index.add(entry);
      unforced.add(entry);
    } catch (IOException e) {
      writeFailure = e;
    }
  }

  /** Makes durable what was put: first the features, then their index records. */
  public synchronized void force() {
    requireOpen();
    if (writeFailure != null || unforced.isEmpty()) {
      return;
    }
    try {
      lock.requireHeld();
      file.force();
      index.append(unforced);
      unforced.clear();
    } catch (IOException e) {
      writeFailure = e;
    }
  }

  private ByteBuffer segment(long number) throws IOException {
    while (segments.size() <= number) {
      segments.add(null);
    }
    ByteBuffer segment = segments.get((int) number);
    if (segment == null) {
      long bytes = entriesPerSegment * kind.entryBytes();
      segment = file.map(number * bytes, bytes);
      segments.set((int) number, segment);
    }
    return segment;
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("this FeatureStore is closed");
    }
  }

  /** Makes all entries durable and lets others use the folder. */
  @Override
  public synchronized void close() throws IOException {
    if (closed) {
      return;
    }
    try (lock;
        file;
        index) {
      force();
    } finally {
      closed = true;
    }
  }
}
