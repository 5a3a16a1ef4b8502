package org.sightline.study.statistics;

import org.apache.commons.statistics.inference.AlternativeHypothesis;
import org.apache.commons.statistics.inference.WilcoxonSignedRankTest;

/**
 * Wilcoxon's signed-rank test of whether pairs differ in one direction, as in the paper.
 *
 * @param pairs how many there are
 * @param better in how many the first is larger
 * @param worse in how many it is smaller; the rest are ties, which the test leaves out
 * @param meanDifference first less second
 * @param p one-sided: that the first is no larger; 1 if all are ties
 * @param rankBiserial effect size in [-1,1]: the share of the ranks in favour less that against
 *     (matched-pairs rank-biserial correlation, Kerby 2014)
 */
public record PairedTest(
    int pairs, int better, int worse, double meanDifference, double p, double rankBiserial) {
  /** Rates that differ by less are equal: they are sums and quotients of whole numbers. */
  private static final double TIE = 1e-12;

  /**
   * Tests whether {@code first} is larger.
   *
   * @throws IllegalArgumentException if there are no pairs, or the lengths differ
   */
  public static PairedTest greater(double[] first, double[] second) {
    if (first.length == 0 || first.length != second.length) {
      throw new IllegalArgumentException(
          "pairs: found %d and %d values, expected as many of both, at least 1"
              .formatted(first.length, second.length));
    }
    double[] differences = new double[first.length];
    int better = 0;
    int worse = 0;
    double sum = 0;
    for (int i = 0; i < first.length; i++) {
      double difference = first[i] - second[i];
      differences[i] = Math.abs(difference) < TIE ? 0 : difference;
      better += differences[i] > 0 ? 1 : 0;
      worse += differences[i] < 0 ? 1 : 0;
      sum += differences[i];
    }
    double mean = sum / first.length;
    int ranked = better + worse;
    if (ranked == 0) {
      return new PairedTest(first.length, 0, 0, 0, 1, 0);
    }
    // To equal ranks for what is equal but for rounding.
    for (int i = 0; i < differences.length; i++) {
      differences[i] = Math.rint(differences[i] / TIE) * TIE;
    }
    var result =
        WilcoxonSignedRankTest.withDefaults()
            .with(AlternativeHypothesis.GREATER_THAN)
            .test(differences);
    double ranks = ranked * (ranked + 1) / 2.0;
    return new PairedTest(
        first.length,
        better,
        worse,
        mean,
        // Approximate where ranks tie; but n signs cannot all agree more seldom than this.
        Math.max(result.getPValue(), Math.scalb(1.0, -ranked)),
        2 * ranksInFavour(differences) / ranks - 1);
  }

  /** Sum of the ranks of positive differences among those that are not 0; ties share theirs. */
  private static double ranksInFavour(double[] differences) {
    double sum = 0;
    for (double one : differences) {
      if (one > 0) {
        double below = 0;
        double equal = 0;
        for (double other : differences) {
          double distance = Math.abs(other) - one;
          below += other != 0 && distance < -TIE / 2 ? 1 : 0;
          equal += other != 0 && Math.abs(distance) <= TIE / 2 ? 1 : 0;
        }
        sum += below + (equal + 1) / 2;
      }
    }
    return sum;
  }
}
