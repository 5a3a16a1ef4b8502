package org.sightline.vla.data.loader;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.sightline.formats.tfrecord.CorruptRecordException;

/**
 * Draws samples, decodes and augments their images on one or more threads, and collates them. The
 * result does not depend on the number of threads: samples are drawn by the caller's thread alone,
 * and the row of an unreadable image goes to the next sample drawn.
 */
final class BatchAssembler implements BatchSource {
  private final SampleStream stream;
  private final VlaBatcher batcher;
  private final VlaDataLoader.Options options;
  private final ExecutorService helpers; // null: the caller's thread does it all
  private final int helperCount;
  private long batches;

  /**
   * An assembler at the stream's place.
   *
   * @param helperCount threads that decode beside the caller's, 0 or more
   */
  BatchAssembler(
      SampleStream stream,
      VlaBatcher batcher,
      VlaDataLoader.Options options,
      int helperCount,
      long batches) {
    this.stream = stream;
    this.batcher = batcher;
    this.options = options;
    this.helperCount = helperCount;
    this.batches = batches;
    this.helpers =
        helperCount == 0
            ? null
            : Executors.newFixedThreadPool(helperCount, DataThreads.named("sightline-decode"));
  }

  @Override
  public ReadyBatch next() throws IOException {
    int length = batcher.images().length();
    float[] pixels = new float[Math.multiplyExact(options.batchSize(), length)];
    Sample[] rows = new Sample[options.batchSize()];
    int filled = 0;
    // A second round is only needed where an image turned out to be unreadable.
    while (filled < rows.length) {
      List<Integer> drawn = new ArrayList<>();
      for (int row = 0; row < rows.length; row++) {
        if (rows[row] == null) {
          rows[row] = stream.next();
          if (rows[row] == null) {
            break;
          }
          drawn.add(row);
        }
      }
      if (drawn.isEmpty()) {
        break;
      }
      filled += decode(rows, drawn, pixels);
    }
    boolean incomplete = filled < rows.length;
    if (filled == 0 || incomplete && options.dropLast()) {
      return null;
    }
    VlaBatch batch = collate(rows, pixels, filled, length);
    return new ReadyBatch(batch, stream.position(++batches));
  }

  /** Decodes the given rows, empties those that cannot be, and returns how many could. */
  private int decode(Sample[] rows, List<Integer> drawn, float[] pixels) throws IOException {
    CorruptRecordException[] failures = new CorruptRecordException[rows.length];
    AtomicInteger next = new AtomicInteger();
    List<Future<?>> running = new ArrayList<>();
    for (int i = 0; i < Math.min(helperCount, drawn.size() - 1); i++) {
      running.add(
          helpers.submit(
              () -> {
                decodeSome(rows, drawn, next, pixels, failures);
                return null;
              }));
    }
    await(running, () -> decodeSome(rows, drawn, next, pixels, failures));
    int decoded = 0;
    for (int row : drawn) {
      if (failures[row] == null) {
        decoded++;
        stream.countReadable();
      } else {
        EpisodeSet set = rows[row].set();
        set.dataset().leftOut().image(rows[row].step().origin(), failures[row]);
        stream.countUnreadable(set);
        rows[row] = null;
      }
    }
    return decoded;
  }

  private interface Decoding {
    void run() throws IOException;
  }

  /** Decodes too, then awaits the helpers, all of them: they write to the shared array. */
  private static void await(List<Future<?>> running, Decoding own) throws IOException {
    Throwable failure = null;
    try {
      own.run();
    } catch (IOException | RuntimeException | Error e) {
      failure = e;
    }
    for (Future<?> helper : running) {
      try {
        helper.get();
      } catch (ExecutionException e) {
        failure = e.getCause();
      } catch (InterruptedException e) {
        throw new IllegalStateException("interrupted while helpers decoded a batch", e);
      }
    }
    if (failure instanceof IOException e) {
      throw e;
    }
    if (failure instanceof OutOfMemoryError e) {
      throw e;
    }
    if (failure != null) {
      throw new IllegalStateException("decoding a batch failed: " + failure, failure);
    }
  }

  private void decodeSome(
      Sample[] rows,
      List<Integer> drawn,
      AtomicInteger next,
      float[] pixels,
      CorruptRecordException[] failures)
      throws IOException {
    for (int i = next.getAndIncrement(); i < drawn.size(); i = next.getAndIncrement()) {
      int row = drawn.get(i);
      try {
        batcher.decode(rows[row], options, pixels, row * batcher.images().length());
      } catch (CorruptRecordException e) {
        failures[row] = e;
      }
    }
  }

  /** Closes gaps that unreadable images left at the end of an epoch, and builds the tensors. */
  private VlaBatch collate(Sample[] rows, float[] pixels, int filled, int length) {
    List<Sample> samples = new ArrayList<>(filled);
    for (int row = 0; row < rows.length; row++) {
      if (rows[row] != null) {
        System.arraycopy(pixels, row * length, pixels, samples.size() * length, length);
        samples.add(rows[row]);
      }
    }
    return batcher.collate(samples, options, pixels);
  }

  @Override
  public void close() throws IOException {
    if (helpers != null) {
      helpers.shutdownNow();
    }
    stream.close();
  }
}
