package org.sightline.train.checkpoint;

import java.io.IOException;

/**
 * A checkpoint that could not be written, for instance because the disk is full, or none that could
 * be read. The message says what is still there.
 */
public final class CheckpointException extends IOException {
  private static final long serialVersionUID = 1L;

  CheckpointException(String message, Throwable cause) {
    super(message, cause);
  }
}
