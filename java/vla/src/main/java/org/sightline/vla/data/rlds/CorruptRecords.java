package org.sightline.vla.data.rlds;

import org.sightline.formats.tfrecord.CorruptRecordException;

/** What happens to a record or image that cannot be read. */
public enum CorruptRecords {
  /** The first one ends the run with its {@link CorruptRecordException}. */
  FAIL,
  /** They are left out, and counted in a {@link LeftOut}. */
  SKIP
}
