package org.sightline.vla.data;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.NoSuchElementException;

/**
 * Batches of a set of episodes, for training (shuffled, endless) or evaluation (in order, once).
 * The order depends on seed and epoch only. Holds no resources itself; its iterators do.
 */
public final class VlaDataLoader {
  /**
   * How to batch.
   *
   * @param batchSize steps per batch
   * @param shuffleBuffer steps held to choose the next one from; 0 keeps the file's order
   * @param seed of the shuffling; each epoch derives its own from it
   * @param dropLast whether an incomplete last batch is left out
   */
  public record Options(int batchSize, int shuffleBuffer, long seed, boolean dropLast) {
    /** Steps in the default shuffle buffer; at 10 kB a JPEG some 100 MB when full. */
    public static final int DEFAULT_SHUFFLE_BUFFER = 10_000;

    /** Checks the numbers. */
    public Options {
      if (batchSize < 1) {
        throw new IllegalArgumentException(
            "batchSize: found " + batchSize + ", expected at least 1");
      }
      if (shuffleBuffer < 0) {
        throw new IllegalArgumentException(
            "shuffleBuffer: found " + shuffleBuffer + ", expected at least 0");
      }
    }

    /** Shuffled, full batches only. */
    public static Options training(int batchSize, long seed) {
      return new Options(batchSize, DEFAULT_SHUFFLE_BUFFER, seed, true);
    }

    /** In file order, every step once. */
    public static Options evaluation(int batchSize) {
      return new Options(batchSize, 0, 0, false);
    }
  }

  private final RldsDataset dataset;
  private final int[] episodes;
  private final VlaBatcher batcher;
  private final Options options;

  /** A loader of the given episodes, at least one. */
  public VlaDataLoader(RldsDataset dataset, int[] episodes, VlaBatcher batcher, Options options) {
    if (episodes.length == 0) {
      throw new IllegalArgumentException("episodes: found none, expected at least 1");
    }
    this.dataset = dataset;
    this.episodes = episodes.clone();
    this.batcher = batcher;
    this.options = options;
  }

  /** Number of episodes. */
  public int episodes() {
    return episodes.length;
  }

  /** The options it was made with. */
  public Options options() {
    return options;
  }

  /** One pass over the episodes; the same number gives the same batches. */
  public BatchIterator epoch(long epoch) {
    return new Iterator(epoch, false);
  }

  /** Epochs 0, 1, 2, … without end. */
  public BatchIterator repeat() {
    return new Iterator(0, true);
  }

  private StepStream open(long epoch) {
    if (options.shuffleBuffer() == 0) {
      return StepStream.inOrder(dataset, episodes);
    }
    return StepStream.shuffled(
        dataset, episodes, options.shuffleBuffer(), mix(options.seed(), epoch));
  }

  /** A well-spread seed for an epoch (the finalizer of SplitMix64). */
  private static long mix(long seed, long epoch) {
    long z = seed + (epoch + 1) * 0x9e3779b97f4a7c15L;
    z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
    z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
    return z ^ (z >>> 31);
  }

  private final class Iterator implements BatchIterator {
    private final boolean endless;
    private long epoch;
    private StepStream stream;
    private List<Step> upcoming;
    private boolean closed;

    Iterator(long epoch, boolean endless) {
      this.epoch = epoch;
      this.endless = endless;
      this.stream = open(epoch);
    }

    @Override
    public boolean hasNext() {
      if (closed) {
        return false;
      }
      try {
        if (upcoming == null) {
          upcoming = gather();
          if (upcoming == null && endless) {
            stream.close();
            stream = open(++epoch);
            upcoming = gather();
            if (upcoming == null) {
              throw new DatasetFormatException(
                  dataset.folder()
                      + ": found fewer steps than one batch in "
                      + episodes.length
                      + " episodes, expected at least "
                      + options.batchSize());
            }
          } else if (upcoming == null) {
            stream.close(); // Exhausted iterators hold no file, closed or not.
          }
        }
        return upcoming != null;
      } catch (IOException e) {
        throw new UncheckedIOException(e.getMessage(), e);
      }
    }

    @Override
    public VlaBatch next() {
      if (closed) {
        throw new IllegalStateException("batch iterator is closed");
      }
      if (!hasNext()) {
        throw new NoSuchElementException("the epoch has no more batches");
      }
      List<Step> steps = upcoming;
      upcoming = null;
      try {
        return batcher.batch(steps);
      } catch (IOException e) {
        throw new UncheckedIOException(e.getMessage(), e);
      }
    }

    @Override
    public void close() {
      closed = true;
      upcoming = null;
      try {
        stream.close();
      } catch (IOException e) {
        throw new UncheckedIOException(e.getMessage(), e);
      }
    }

    private List<Step> gather() throws IOException {
      List<Step> steps = new ArrayList<>(options.batchSize());
      while (steps.size() < options.batchSize()) {
        Step step = stream.next();
        if (step == null) {
          break;
        }
        steps.add(step);
      }
      boolean incomplete = steps.size() < options.batchSize();
      return steps.isEmpty() || (incomplete && options.dropLast()) ? null : steps;
    }
  }
}
