package org.sightline.train.checkpoint;

/** A checkpoint that is whole, but of another run: no reason to take the one before it. */
final class AnotherRunException extends IllegalArgumentException {
  private static final long serialVersionUID = 1L;

  AnotherRunException(String message) {
    super(message);
  }
}
