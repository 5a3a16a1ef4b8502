package org.sightline.vla.data.loader;

import java.io.IOException;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * Runs another source on a thread of its own, at most some batches ahead. A failure takes its place
 * in the queue: the batches before it still arrive, then every call throws it.
 */
final class Prefetcher implements BatchSource {
  private static final long POLL_MILLIS = 50;

  /** A batch, the end (both null), or a failure. */
  private record Item(ReadyBatch batch, Throwable failure) {}

  private final BatchSource source;
  private final BlockingQueue<Item> queue;
  private final Thread thread;
  private volatile boolean closed;
  private Item last;

  /** Starts reading ahead up to {@code capacity} batches. */
  Prefetcher(BatchSource source, int capacity) {
    this.source = source;
    this.queue = new ArrayBlockingQueue<>(capacity);
    this.thread = DataThreads.named("sightline-data").newThread(this::produce);
    thread.start();
  }

  private void produce() {
    boolean more = true;
    while (more && !closed) {
      Item item;
      try {
        item = new Item(source.next(), null);
      } catch (Throwable e) { // Also errors: the consumer must not wait for ever.
        item = new Item(null, e);
      }
      more = item.batch() != null;
      offer(item);
    }
  }

  private void offer(Item item) {
    try {
      while (!closed) {
        if (queue.offer(item, POLL_MILLIS, TimeUnit.MILLISECONDS)) {
          return;
        }
      }
    } catch (InterruptedException e) {
      closed = true; // Nobody but close() knows this thread; end as it asks.
    }
    discard(item);
  }

  @Override
  public ReadyBatch next() throws IOException {
    if (last == null) {
      Item item = take();
      if (item.batch() != null) {
        return item.batch();
      }
      last = item;
    }
    Throwable failure = last.failure();
    if (failure instanceof IOException e) {
      throw new IOException(e.getMessage(), e); // With the stack of both threads.
    }
    if (failure instanceof OutOfMemoryError) { // Which callers tell from defects.
      Error full = new OutOfMemoryError(failure.getMessage());
      full.initCause(failure);
      throw full;
    }
    if (failure != null) {
      throw new IllegalStateException("reading ahead failed: " + failure, failure);
    }
    return null;
  }

  /** Waits through interrupts: whoever waits looks at the flag itself, between two steps. */
  private Item take() {
    boolean interrupted = false;
    try {
      while (true) {
        try {
          return queue.take();
        } catch (InterruptedException e) {
          interrupted = true;
        }
      }
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }

  @Override
  public void close() throws IOException {
    closed = true;
    boolean interrupted = false;
    while (thread.isAlive()) {
      try {
        thread.join();
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    for (Item item = queue.poll(); item != null; item = queue.poll()) {
      discard(item);
    }
    source.close();
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private static void discard(Item item) {
    if (item.batch() != null) {
      item.batch().close();
    }
  }
}
