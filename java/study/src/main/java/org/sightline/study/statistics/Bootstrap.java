package org.sightline.study.statistics;

import java.util.Arrays;
import java.util.Random;

/** Intervals of means whose parts were drawn twice: first training seeds, in each then scenes. */
public final class Bootstrap {
  private static final int DRAWS = 4000;

  private Bootstrap() {}

  /**
   * 95 % interval of the mean over seeds of the mean over scenes, percentiles of a bootstrap that
   * draws seeds with replacement and, in each, scenes. Differences of two arms with shared seeds
   * and scenes go in as one array of differences: then pairs are drawn.
   *
   * @param values [seed][scene], at least one of each
   * @param seed of the draws
   */
  public static Interval twoLevel(double[][] values, long seed) {
    if (values.length == 0 || Arrays.stream(values).anyMatch(scenes -> scenes.length == 0)) {
      throw new IllegalArgumentException(
          "values must hold at least one seed, and one scene of each, found "
              + Arrays.deepToString(values));
    }
    Random random = new Random(seed);
    double[] means = new double[DRAWS];
    for (int draw = 0; draw < DRAWS; draw++) {
      for (int i = 0; i < values.length; i++) {
        double[] scenes = values[random.nextInt(values.length)];
        double sum = 0;
        for (int j = 0; j < scenes.length; j++) {
          sum += scenes[random.nextInt(scenes.length)];
        }
        means[draw] += sum / scenes.length / values.length;
      }
    }
    Arrays.sort(means);
    double mean =
        Arrays.stream(values)
            .mapToDouble(scenes -> Arrays.stream(scenes).average().orElseThrow())
            .average()
            .orElseThrow();
    return new Interval(
        mean, means[(int) (0.025 * DRAWS)], means[(int) Math.ceil(0.975 * DRAWS) - 1]);
  }
}
