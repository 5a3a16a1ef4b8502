package org.sightline.vla.data.loader;

import java.util.Arrays;
import org.sightline.vla.data.image.CounterRandom;

/**
 * In which order one epoch visits the steps of some episodes: episodes in shuffled order, their
 * steps through a shuffle buffer, as in {@code tf.data}. A buffer that holds the whole dataset
 * makes the order uniformly random.
 *
 * <p>It only knows numbers of steps and draws from a {@link CounterRandom}, so an epoch can be
 * replayed up to any point in no time, without reading data. That is what makes streams resumable.
 */
final class StepOrder {
  private final int[] steps;
  private final int[] order;
  private final long key;
  private final long[] buffer;
  private int buffered;
  private int nextEpisode;
  private int nextStep;
  private long drawn;

  /**
   * An epoch from its start.
   *
   * @param steps number of steps of each episode
   * @param capacity steps held to choose the next one from; 0 visits all in the given order
   * @param key of the epoch's random numbers
   */
  StepOrder(int[] steps, int capacity, long key) {
    this.steps = steps;
    this.key = key;
    long all = Arrays.stream(steps).asLongStream().sum();
    this.buffer = new long[(int) Math.min(Math.max(1, capacity), all)];
    this.order = new int[steps.length];
    long shuffling = CounterRandom.key(key, 1);
    for (int i = 0; i < order.length; i++) {
      int j = capacity == 0 ? i : CounterRandom.below(shuffling, i, i + 1);
      order[i] = order[j];
      order[j] = i;
    }
  }

  /** The next step, or -1 after the last; see {@link #episode} and {@link #step}. */
  long next() {
    while (buffered < buffer.length && insertNext()) {}
    if (buffered == 0) {
      return -1;
    }
    int chosen = CounterRandom.below(key, drawn++, buffered);
    long step = buffer[chosen];
    buffer[chosen] = buffer[--buffered];
    return step;
  }

  /** Index of the episode among those given. */
  static int episode(long next) {
    return (int) (next >>> 32);
  }

  /** Number of the step in its episode. */
  static int step(long next) {
    return (int) next;
  }

  private boolean insertNext() {
    while (nextEpisode < order.length && nextStep == steps[order[nextEpisode]]) {
      nextEpisode++;
      nextStep = 0;
    }
    if (nextEpisode == order.length) {
      return false;
    }
    buffer[buffered++] = (long) order[nextEpisode] << 32 | nextStep++;
    return true;
  }
}
