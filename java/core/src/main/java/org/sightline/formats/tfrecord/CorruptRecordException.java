package org.sightline.formats.tfrecord;

import java.nio.file.Path;

/** A record of a shard that is damaged, or does not hold what the dataset's schema promises. */
public final class CorruptRecordException extends DatasetFormatException {
  private static final long serialVersionUID = 1L;

  private final transient Path file;
  private final long record;
  private final long offset;

  /**
   * @param file the shard
   * @param record the record's number in it
   * @param offset the byte offset at which the record starts
   * @param problem what was found and what was expected, starting with its own punctuation
   */
  public CorruptRecordException(Path file, long record, long offset, String problem) {
    super(file + ": record " + record + " at byte offset " + offset + problem);
    this.file = file;
    this.record = record;
    this.offset = offset;
  }

  /** The shard. */
  public Path file() {
    return file;
  }

  /** The record's number in the shard. */
  public long record() {
    return record;
  }

  /** The byte offset in the shard at which the record starts. */
  public long offset() {
    return offset;
  }
}
