package org.sightline.vla.data.loader;

import java.io.Closeable;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import org.sightline.formats.file.Sha256;
import org.sightline.formats.tfrecord.DatasetFormatException;
import org.sightline.vla.data.image.CounterRandom;

/**
 * Samples of one or several sets of episodes: either one epoch of each, one set after the other, or
 * an endless mixture, in which every set passes through its epochs and the n-th sample's set is
 * drawn by share with the n-th random number. Not thread-safe.
 */
final class SampleStream implements Closeable {
  private final List<SetCursor> cursors = new ArrayList<>();
  private final double[] cumulativeShares;
  private final boolean endless;
  private final String fingerprint;
  private final long mixtureKey;
  private long draws;
  private int unreadable;

  SampleStream(
      List<EpisodeSet> sets, int shuffleBuffer, long seed, long firstEpoch, boolean endless) {
    this.endless = endless;
    this.mixtureKey = CounterRandom.key(seed, 2);
    this.cumulativeShares = new double[sets.size()];
    double sum = 0;
    for (int i = 0; i < sets.size(); i++) {
      cursors.add(new SetCursor(sets.get(i), shuffleBuffer, seed, firstEpoch));
      sum += sets.get(i).share();
      cumulativeShares[i] = sum;
    }
    this.fingerprint = fingerprint(sets, shuffleBuffer, seed, endless);
  }

  /** The next sample, or null after the last one of an epoch. */
  Sample next() throws IOException {
    while (true) {
      SetCursor cursor = endless ? draw() : current();
      if (cursor == null) {
        return null;
      }
      Sample sample = cursor.next();
      draws++;
      if (sample != null) {
        return sample;
      }
      countUnreadable(cursor.set());
    }
  }

  /** Told of every sample that turned out unreadable: an endless search for others must not be. */
  void countUnreadable(EpisodeSet set) throws DatasetFormatException {
    if (++unreadable > set.size()) {
      throw new DatasetFormatException(
          ("%s: found %s unreadable steps in succession, expected a readable one; the first:"
                  + " %s")
              .formatted(
                  set.dataset().folder(),
                  unreadable,
                  set.dataset().leftOut().messages().stream().findFirst().orElse("unknown")));
    }
  }

  void countReadable() {
    unreadable = 0;
  }

  private SetCursor draw() {
    int last = cumulativeShares.length - 1;
    double number = CounterRandom.uniform(mixtureKey, draws) * cumulativeShares[last];
    int set = 0;
    while (set < last && number >= cumulativeShares[set]) {
      set++;
    }
    SetCursor cursor = cursors.get(set);
    if (cursor.atEnd()) {
      cursor.startNextEpoch();
    }
    return cursor;
  }

  private SetCursor current() {
    return cursors.stream().filter(cursor -> !cursor.atEnd()).findFirst().orElse(null);
  }

  /** The place behind the last sample. */
  StreamPosition position(long batches) {
    return new StreamPosition(
        fingerprint, batches, cursors.stream().map(SetCursor::position).toList());
  }

  /**
   * Goes to a place.
   *
   * @throws IllegalArgumentException if it belongs to another stream
   */
  void seek(StreamPosition position) {
    if (!position.stream().equals(fingerprint) || position.parts().size() != cursors.size()) {
      throw new IllegalArgumentException(
          ("position: found one of stream %s over %s, expected stream %s over %s: data,"
                  + " split, shares, seed and shuffle buffer must be those of the saved run")
              .formatted(
                  position.stream(),
                  position.parts().stream().map(StreamPosition.Part::dataset).toList(),
                  fingerprint,
                  cursors.stream().map(cursor -> cursor.set().dataset().name()).toList()));
    }
    draws = 0;
    for (int i = 0; i < cursors.size(); i++) {
      StreamPosition.Part part = position.parts().get(i);
      cursors.get(i).seek(part);
      draws += part.epoch() * cursors.get(i).set().size() + part.drawn();
    }
  }

  @Override
  public void close() throws IOException {
    for (SetCursor cursor : cursors) {
      cursor.close();
    }
  }

  private static String fingerprint(
      List<EpisodeSet> sets, int shuffleBuffer, long seed, boolean endless) {
    StringBuilder text = new StringBuilder();
    text.append("order 1 ").append(seed).append(' ').append(shuffleBuffer).append(' ');
    text.append(endless);
    for (EpisodeSet set : sets) {
      text.append('\n').append(set.dataset().name()).append(' ').append(set.dataset().split());
      text.append(' ').append(set.share());
      text.append(Arrays.toString(set.episodes())).append(Arrays.toString(set.steps()));
    }
    byte[] hash = Sha256.begin().digest(text.toString().getBytes(StandardCharsets.UTF_8));
    return HexFormat.of().formatHex(hash, 0, 8);
  }
}
