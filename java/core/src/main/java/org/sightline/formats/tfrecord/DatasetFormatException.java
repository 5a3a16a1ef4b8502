package org.sightline.formats.tfrecord;

import java.io.IOException;
import java.nio.file.Path;

/**
 * A dataset file that is corrupt or does not hold what was expected of it. The message is meant for
 * the user: it names the file, the place in it, what was found and what was expected.
 */
public class DatasetFormatException extends IOException {
  private static final long serialVersionUID = 1L;

  /** An error whose message already says where it happened. */
  public DatasetFormatException(String message) {
    super(message);
  }

  /** An error at a byte offset of a record file. */
  public static CorruptRecordException at(Path file, long record, long offset, String problem) {
    return new CorruptRecordException(file, record, offset, ": " + problem);
  }

  /** A key of a record that is missing or has the wrong form. */
  public static CorruptRecordException key(
      Path file, long record, long offset, String key, String found, String expected) {
    return new CorruptRecordException(
        file, record, offset, ", key '" + key + "': found " + found + ", expected " + expected);
  }
}
