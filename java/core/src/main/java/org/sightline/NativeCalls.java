package org.sightline;

import org.sightline.binding.sightline;

/** Turns a status of the C ABI into an exception. */
final class NativeCalls {
  private NativeCalls() {}

  /**
   * Passes if {@code status} is {@code SL_OK}. Must be called on the thread of the failed call,
   * whose message it carries.
   *
   * @throws IllegalArgumentException for an invalid argument
   * @throws UnsupportedOperationException if the backend lacks a kernel or is not available here
   * @throws OutOfMemoryError if native memory ran out
   * @throws IllegalStateException for an internal error
   */
  static void check(int status) {
    if (status == sightline.SL_OK) {
      return;
    }
    String message = sightline.sl_last_error().getString();
    switch (status) {
      case sightline.SL_INVALID_ARGUMENT -> throw new IllegalArgumentException(message);
      case sightline.SL_UNSUPPORTED, sightline.SL_UNAVAILABLE ->
          throw new UnsupportedOperationException(message);
      case sightline.SL_OUT_OF_MEMORY -> throw new OutOfMemoryError(message);
      default -> throw new IllegalStateException("status " + status + ": " + message);
    }
  }
}
