package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

/** What tests expect of a refusal. */
final class Refusals {
  private Refusals() {}

  /** The action must throw an {@link IllegalArgumentException} with exactly this message. */
  static void assertMessage(String expected, Runnable action) {
    assertEquals(expected, assertThrows(IllegalArgumentException.class, action::run).getMessage());
  }
}
