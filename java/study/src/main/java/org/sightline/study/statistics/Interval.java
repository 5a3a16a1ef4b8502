package org.sightline.study.statistics;

/** A value, and where it lies with 95 % confidence. */
public record Interval(double value, double low, double high) {
  /** Of a 95 % interval, two-sided. */
  private static final double Z = 1.959963984540054;

  /**
   * Wilson's score interval of a rate.
   *
   * @throws IllegalArgumentException if there are no trials, or more successes than trials
   */
  public static Interval wilson(int successes, int trials) {
    if (trials < 1 || successes < 0 || successes > trials) {
      throw new IllegalArgumentException(
          "successes must be in 0..trials and trials at least 1, found %d of %d"
              .formatted(successes, trials));
    }
    double rate = (double) successes / trials;
    double z2 = Z * Z / trials;
    double middle = (rate + z2 / 2) / (1 + z2);
    double half = Z / (1 + z2) * Math.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials));
    // Rounding must not put an end beyond the rate itself.
    return new Interval(
        rate,
        successes == 0 ? 0 : Math.max(0, middle - half),
        successes == trials ? 1 : Math.min(1, middle + half));
  }
}
