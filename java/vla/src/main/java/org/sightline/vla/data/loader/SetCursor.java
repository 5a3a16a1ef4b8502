package org.sightline.vla.data.loader;

import java.io.Closeable;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.sightline.Seeds;
import org.sightline.formats.tfrecord.CorruptRecordException;
import org.sightline.formats.tfrecord.DatasetFormatException;
import org.sightline.vla.data.image.CounterRandom;
import org.sightline.vla.data.rlds.Episode;
import org.sightline.vla.data.rlds.EpisodeReader;
import org.sightline.vla.data.rlds.Step;

/**
 * A place in the endless sequence of epochs over one {@link EpisodeSet}. Episodes are read when
 * their first step is drawn, and kept, images encoded, until their last one is: no more than the
 * steps of the shuffle buffer and of one episode are in memory.
 */
final class SetCursor implements Closeable {
  private final EpisodeSet set;
  private final int shuffleBuffer;
  private final long seed;
  private final long size;
  private final EpisodeReader reader;
  private final Map<Integer, Step[]> loaded = new HashMap<>();
  private long epoch;
  private long drawn;
  private StepOrder order;
  private int[] remaining;

  /** The start of an epoch. */
  SetCursor(EpisodeSet set, int shuffleBuffer, long seed, long epoch) {
    this.set = set;
    this.shuffleBuffer = shuffleBuffer;
    this.seed = seed;
    this.size = set.size();
    this.reader = set.dataset().reader();
    start(epoch);
  }

  private void start(long newEpoch) {
    epoch = newEpoch;
    drawn = 0;
    long key = CounterRandom.key(seed, Seeds.hash(0, set.dataset().name()), newEpoch);
    order = new StepOrder(set.steps(), shuffleBuffer, key);
    remaining = set.steps().clone();
    loaded.clear();
  }

  EpisodeSet set() {
    return set;
  }

  StreamPosition.Part position() {
    return new StreamPosition.Part(set.dataset().name(), epoch, drawn);
  }

  /** Goes to a place without reading what lies before it. */
  void seek(StreamPosition.Part part) {
    if (part.epoch() < 0 || part.drawn() < 0 || part.drawn() > size) {
      throw new IllegalArgumentException(
          "position: found epoch %d, drawn %d of %s, expected both from 0, drawn to %d"
              .formatted(part.epoch(), part.drawn(), part.dataset(), size));
    }
    start(part.epoch());
    while (drawn < part.drawn()) {
      draw();
    }
  }

  /** Whether the epoch has no more steps. */
  boolean atEnd() {
    return drawn == size;
  }

  void startNextEpoch() {
    start(epoch + 1);
  }

  /**
   * The next step of the epoch.
   *
   * @return null for a step whose record cannot be read any more, where that may be skipped
   */
  Sample next() throws IOException {
    long next = draw();
    int episode = StepOrder.episode(next);
    Step[] steps = loaded.get(episode);
    if (steps == null) {
      steps = read(episode);
      loaded.put(episode, steps);
    }
    int number = StepOrder.step(next);
    Step step = steps[number];
    steps[number] = null;
    if (remaining[episode] == 0) {
      loaded.remove(episode);
    }
    return step == null ? null : new Sample(set, set.episodes()[episode], epoch, step);
  }

  private long draw() {
    long next = order.next();
    drawn++;
    remaining[StepOrder.episode(next)]--;
    return next;
  }

  private Step[] read(int episode) throws IOException {
    int expected = set.steps()[episode];
    try {
      Episode all = reader.read(set.episodes()[episode]);
      List<Step> steps = set.dataset().labelled(all);
      if (steps.size() != expected) {
        throw new DatasetFormatException(
            "%s: record %s: found %s steps, expected %s as when the dataset was scanned"
                .formatted(all.file(), all.record(), steps.size(), expected));
      }
      return steps.toArray(Step[]::new);
    } catch (CorruptRecordException e) {
      set.dataset().leftOut().record(e);
      return new Step[expected];
    }
  }

  @Override
  public void close() throws IOException {
    loaded.clear();
    reader.close();
  }
}
