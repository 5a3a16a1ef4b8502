package org.sightline.vla.data.rlds;

import java.util.Arrays;
import java.util.Random;

/**
 * A split of episodes into training and evaluation. Whole episodes are dealt out, so no two
 * neighbouring frames end up on both sides.
 *
 * @param train episode numbers, ascending
 * @param eval episode numbers, ascending
 */
public record EpisodeSplit(int[] train, int[] eval) {
  /**
   * Shuffles the episodes by seed and takes the first {@code round(evalFraction · episodes)} for
   * evaluation; at least one if the fraction is positive, and at least one remains for training.
   *
   * @param usable the episodes' numbers; those that cannot be used must not be among them, or one
   *     side may have nothing left
   * @param evalFraction 0 to below 1
   */
  public static EpisodeSplit of(int[] usable, double evalFraction, long seed) {
    EpisodeSplit split = of(usable.length, evalFraction, seed);
    return new EpisodeSplit(
        Arrays.stream(split.train).map(i -> usable[i]).toArray(),
        Arrays.stream(split.eval).map(i -> usable[i]).toArray());
  }

  /**
   * As above, of the episodes 0 to {@code episodes - 1}.
   *
   * @param episodes how many there are, at least 1
   */
  public static EpisodeSplit of(int episodes, double evalFraction, long seed) {
    if (episodes < 1) {
      throw new IllegalArgumentException("episodes: found " + episodes + ", expected at least 1");
    }
    if (!(evalFraction >= 0 && evalFraction < 1)) {
      throw new IllegalArgumentException(
          "evalFraction: found " + evalFraction + ", expected 0 to below 1");
    }
    if (evalFraction > 0 && episodes < 2) {
      throw new IllegalArgumentException(
          "episodes: found 1, expected at least 2 to hold some out for evaluation");
    }
    int eval = (int) Math.round(evalFraction * episodes);
    if (evalFraction > 0) {
      eval = Math.max(1, Math.min(episodes - 1, eval));
    }
    int[] order = shuffled(episodes, new Random(seed));
    int[] evalEpisodes = Arrays.copyOf(order, eval);
    int[] trainEpisodes = Arrays.copyOfRange(order, eval, episodes);
    Arrays.sort(evalEpisodes);
    Arrays.sort(trainEpisodes);
    return new EpisodeSplit(trainEpisodes, evalEpisodes);
  }

  /** The numbers 0 to count-1 in random order (Fisher–Yates). */
  static int[] shuffled(int count, Random random) {
    int[] order = new int[count];
    for (int i = 0; i < count; i++) {
      int j = random.nextInt(i + 1);
      order[i] = order[j];
      order[j] = i;
    }
    return order;
  }
}
