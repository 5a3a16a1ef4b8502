package org.sightline.vla.data.loader;

import io.soabase.recordbuilder.core.RecordBuilder;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.sightline.Checks;
import org.sightline.CopyQueue;
import org.sightline.Device;

/**
 * Batches of sets of episodes, for training (shuffled, augmented, endless) or evaluation (in order,
 * once). What they hold depends on the options and the epoch only, not on threads. Holds no
 * resources itself; its iterators do.
 */
public final class VlaDataLoader {
  /**
   * How to batch.
   *
   * @param batchSize steps per batch
   * @param shuffleBuffer steps held to choose the next one from; 0 keeps the file's order
   * @param seed of shuffling, mixing and augmentation
   * @param dropLast whether an incomplete last batch of an epoch is left out
   * @param augmented whether images go through the transform's augmentation, if it has one
   * @param views how many augmented views an image has, each shown once in that many epochs; 0: a
   *     new one every epoch
   * @param threads that read, decode and augment ahead of the caller; 0: the caller's does
   * @param readAhead how many batches the threads may be ahead
   * @param device where pixels are sent ahead, if copies to it have a queue of their own
   */
  @RecordBuilder
  public record Options(
      int batchSize,
      int shuffleBuffer,
      long seed,
      boolean dropLast,
      boolean augmented,
      int views,
      int threads,
      int readAhead,
      Device device)
      implements VlaDataLoaderOptionsBuilder.With {
    /** Steps in the default shuffle buffer; at 10 kB a JPEG some 100 MB when full. */
    public static final int DEFAULT_SHUFFLE_BUFFER = 10_000;

    /** Batches that threads may be ahead by default. */
    public static final int DEFAULT_READ_AHEAD = 4;

    public Options {
      Checks.atLeast("batchSize", batchSize, 1);
      Checks.atLeast("shuffleBuffer", shuffleBuffer, 0);
      Checks.atLeast("views", views, 0);
      Checks.atLeast("threads", threads, 0);
      Checks.atLeast("readAhead", readAhead, 1);
      Objects.requireNonNull(device, "device");
    }

    /** Shuffled, augmented, full batches only. */
    public static Options training(int batchSize, long seed) {
      return new Options(
          batchSize,
          DEFAULT_SHUFFLE_BUFFER,
          seed,
          true,
          true,
          0,
          0,
          DEFAULT_READ_AHEAD,
          Device.CPU);
    }

    /** In file order, every step once, as evaluation sees images. */
    public static Options evaluation(int batchSize) {
      return new Options(batchSize, 0, 0, false, false, 0, 0, DEFAULT_READ_AHEAD, Device.CPU);
    }
  }

  private final List<EpisodeSet> sets;
  private final VlaBatcher batcher;
  private final Options options;

  /** A loader of at least one set of episodes. */
  public VlaDataLoader(List<EpisodeSet> sets, VlaBatcher batcher, Options options) {
    if (sets.isEmpty()) {
      throw new IllegalArgumentException("sets: found none, expected at least 1");
    }
    this.sets = List.copyOf(sets);
    this.batcher = batcher;
    this.options = options;
    int most = Integer.MAX_VALUE / batcher.images().length();
    if (rows() > most) { // The pixels of a batch are one Java array.
      throw new IllegalArgumentException(
          "batchSize: found %s, expected at most %s for images of %s pixels a side"
              .formatted(options.batchSize(), most, batcher.images().size()));
    }
  }

  /** Steps of a batch: where an incomplete one is let through, no more than there are. */
  private int rows() {
    return options.dropLast()
        ? options.batchSize()
        : (int) Math.max(1, Math.min(options.batchSize(), steps()));
  }

  /** Number of episodes. */
  public int episodes() {
    return sets.stream().mapToInt(set -> set.episodes().length).sum();
  }

  /** Number of steps in one epoch of every set. */
  public long steps() {
    return sets.stream().mapToLong(EpisodeSet::size).sum();
  }

  /** One pass over each set in turn; the same number gives the same batches. */
  public BatchIterator epoch(long epoch) {
    return iterator(new SampleStream(sets, options.shuffleBuffer(), options.seed(), epoch, false));
  }

  /**
   * A mixture of the sets without end. Each set goes through its epochs 0, 1, 2, …; batches are
   * always full, and may hold the end of one epoch and the start of the next.
   */
  public BatchIterator repeat() {
    return iterator(new SampleStream(sets, options.shuffleBuffer(), options.seed(), 0, true));
  }

  private BatchIterator iterator(SampleStream samples) {
    return new LoaderIterator(
        samples,
        (stream, batches) -> {
          int threads = options.threads();
          BatchAssembler assembler =
              new BatchAssembler(
                  stream,
                  batcher,
                  options.withBatchSize(rows()),
                  Math.max(0, threads - 1),
                  batches);
          Optional<CopyQueue> queue = CopyQueue.to(options.device());
          BatchSource source =
              queue.isEmpty() ? assembler : new SendingAhead(assembler, queue.get());
          return threads == 0 ? source : new Prefetcher(source, options.readAhead());
        });
  }
}
