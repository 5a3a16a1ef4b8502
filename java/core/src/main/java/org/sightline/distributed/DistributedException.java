package org.sightline.distributed;

/** Processes cannot go on together; the message says which, and at what. */
public final class DistributedException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  DistributedException(String message, Throwable cause) {
    super(message, cause);
  }
}
