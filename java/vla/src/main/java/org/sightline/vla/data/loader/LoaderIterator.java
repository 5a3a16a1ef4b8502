package org.sightline.vla.data.loader;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.NoSuchElementException;
import java.util.function.BiFunction;

/** Batches of a {@link VlaDataLoader}; nothing is opened or started before the first is wanted. */
final class LoaderIterator implements BatchIterator {
  private final SampleStream stream;
  private final BiFunction<SampleStream, Long, BatchSource> opener;
  private StreamPosition position;
  private BatchSource source;
  private ReadyBatch upcoming;
  private long waitedNanos;
  private boolean closed;
  private boolean exhausted;

  /**
   * @param opener gives the source for a stream and the number of batches taken from it before
   */
  LoaderIterator(SampleStream stream, BiFunction<SampleStream, Long, BatchSource> opener) {
    this.stream = stream;
    this.opener = opener;
    this.position = stream.position(0);
  }

  @Override
  public boolean hasNext() {
    if (closed || exhausted) {
      return false;
    }
    if (upcoming == null) {
      long start = System.nanoTime();
      try {
        if (source == null) {
          source = opener.apply(stream, position.batches());
        }
        upcoming = source.next();
        if (upcoming == null) {
          exhausted = true;
          source.close(); // Exhausted iterators hold no file, closed or not.
        }
      } catch (IOException e) {
        throw new UncheckedIOException(e.getMessage(), e);
      } finally {
        waitedNanos += System.nanoTime() - start;
      }
    }
    return upcoming != null;
  }

  @Override
  public VlaBatch next() {
    if (closed) {
      throw new IllegalStateException("batch iterator is closed");
    }
    if (!hasNext()) {
      throw new NoSuchElementException("the epoch has no more batches");
    }
    VlaBatch batch = upcoming.take();
    position = upcoming.position();
    upcoming = null;
    return batch;
  }

  @Override
  public StreamPosition position() {
    return position;
  }

  @Override
  public void seek(StreamPosition target) {
    if (source != null || closed) {
      throw new IllegalStateException(
          "batch iterator was used already, expected a new one to go to a position");
    }
    stream.seek(target);
    position = target;
  }

  @Override
  public double waitedSeconds() {
    return waitedNanos * 1e-9;
  }

  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    if (upcoming != null) {
      upcoming.close();
      upcoming = null;
    }
    try {
      if (source == null) {
        stream.close();
      } else if (!exhausted) {
        source.close();
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e.getMessage(), e);
    }
  }
}
