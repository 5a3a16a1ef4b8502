package org.sightline.vla.data;

import java.io.Closeable;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Random;

/**
 * The steps of some episodes in a random order that a seed determines: episodes are read in
 * shuffled order and their steps pass through a shuffle buffer, as in {@code tf.data}. When the
 * buffer holds the whole dataset the order is uniformly random; images stay encoded in it.
 */
final class StepStream implements Closeable {
  private final EpisodeReader reader;
  private final int[] episodes;
  private final int capacity;
  private final Random random;
  private final List<Step> buffer = new ArrayList<>();
  private final Deque<Step> pending = new ArrayDeque<>();
  private int nextEpisode;

  /** Steps in shuffled order; {@code capacity} steps are held to choose from. */
  static StepStream shuffled(RldsDataset dataset, int[] episodes, int capacity, long seed) {
    Random random = new Random(seed);
    int[] order = EpisodeSplit.shuffled(episodes.length, random);
    int[] shuffled = new int[order.length];
    for (int i = 0; i < order.length; i++) {
      shuffled[i] = episodes[order[i]];
    }
    return new StepStream(dataset, shuffled, capacity, random);
  }

  /** Steps in file order. */
  static StepStream inOrder(RldsDataset dataset, int[] episodes) {
    return new StepStream(dataset, episodes, 1, new Random(0));
  }

  private StepStream(RldsDataset dataset, int[] episodes, int capacity, Random random) {
    this.reader = dataset.reader();
    this.episodes = episodes;
    this.capacity = capacity;
    this.random = random;
  }

  /** The next step, or null after the last. */
  Step next() throws IOException {
    while (buffer.size() < capacity) {
      Step step = read();
      if (step == null) {
        break;
      }
      buffer.add(step);
    }
    if (buffer.isEmpty()) {
      return null;
    }
    int chosen = random.nextInt(buffer.size());
    int last = buffer.size() - 1;
    Step step = buffer.get(chosen);
    buffer.set(chosen, buffer.get(last));
    buffer.remove(last);
    return step;
  }

  @Override
  public void close() throws IOException {
    reader.close();
    buffer.clear();
    pending.clear();
    nextEpisode = episodes.length;
  }

  private Step read() throws IOException {
    while (pending.isEmpty()) {
      if (nextEpisode == episodes.length) {
        return null;
      }
      pending.addAll(reader.read(episodes[nextEpisode++]).steps());
    }
    return pending.poll();
  }
}
