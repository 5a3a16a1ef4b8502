package org.sightline.benchmarks;

import java.util.Arrays;

/**
 * Median and spread of a sample.
 *
 * @param q1 first quartile
 * @param median second quartile
 * @param q3 third quartile
 */
record Quartiles(double q1, double median, double q3) {
  /**
   * Quartiles with linear interpolation between neighbours, as numpy's default.
   *
   * @param values at least one, in any order
   */
  static Quartiles of(double[] values) {
    if (values.length == 0) {
      throw new IllegalArgumentException("a sample must hold at least one value, found none");
    }
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    return new Quartiles(at(sorted, 0.25), at(sorted, 0.5), at(sorted, 0.75));
  }

  private static double at(double[] sorted, double fraction) {
    double position = fraction * (sorted.length - 1);
    int below = (int) position;
    int above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
  }
}
