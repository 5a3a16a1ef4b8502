package org.sightline.vla.model;

/** Argument checks of the configuration records; messages print the value found. */
final class Checks {
  private Checks() {}

  static void positive(String name, long value) {
    if (value <= 0) {
      throw new IllegalArgumentException(name + " must be positive, found " + value);
    }
  }

  static void atMost(String name, long value, long most) {
    if (value > most) {
      throw new IllegalArgumentException(name + " must be at most " + most + ", found " + value);
    }
  }

  static void notNegative(String name, long value) {
    if (value < 0) {
      throw new IllegalArgumentException(name + " must not be negative, found " + value);
    }
  }

  static void divides(String divisor, long value, String dividend, long whole) {
    positive(divisor, value);
    positive(dividend, whole);
    if (whole % value != 0) {
      throw new IllegalArgumentException(
          divisor + " must divide " + dividend + " " + whole + ", found " + value);
    }
  }

  static void positive(String name, double value) {
    if (!(value > 0) || Double.isInfinite(value)) {
      throw new IllegalArgumentException(name + " must be positive and finite, found " + value);
    }
  }
}
