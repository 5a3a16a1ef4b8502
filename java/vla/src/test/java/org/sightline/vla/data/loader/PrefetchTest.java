package org.sightline.vla.data.loader;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;

/** The thread between a source of batches and their consumer. */
class PrefetchTest {
  /** Numbered batches, then an end or a failure. */
  private static final class Source implements BatchSource {
    private final int batches;
    private final Throwable failure;
    private final AtomicInteger made = new AtomicInteger();
    private final List<VlaBatch> all = new ArrayList<>();
    private volatile Thread thread;
    private volatile boolean closed;

    Source(int batches, Throwable failure) {
      this.batches = batches;
      this.failure = failure;
    }

    @Override
    public ReadyBatch next() throws IOException {
      thread = Thread.currentThread();
      if (made.get() == batches) {
        if (failure instanceof IOException e) {
          throw e;
        }
        if (failure instanceof RuntimeException e) {
          throw e;
        }
        if (failure instanceof Error e) {
          throw e;
        }
        return null;
      }
      int number = made.incrementAndGet();
      Tensor one = Tensor.create(new long[] {number}, 1, 1);
      Tensor[] tensors = new Tensor[5];
      for (int i = 0; i < 5; i++) {
        tensors[i] = i == 0 ? one : Tensor.create(new long[] {0}, 1, 1);
      }
      VlaBatch batch = new VlaBatch(tensors[1], one, tensors[2], tensors[3], tensors[4]);
      all.add(batch);
      return new ReadyBatch(batch, new StreamPosition("s", number, List.of()));
    }

    @Override
    public void close() {
      closed = true;
    }
  }

  private static void assertSoon(java.util.function.BooleanSupplier condition) throws Exception {
    for (int i = 0; i < 500 && !condition.getAsBoolean(); i++) {
      Thread.sleep(10);
    }
    assertTrue(condition.getAsBoolean());
  }

  @Test
  void batchesArriveInOrderFromAnotherThreadThenTheEnd() throws IOException {
    Source source = new Source(50, null);
    try (Prefetcher prefetcher = new Prefetcher(source, 3)) {
      for (int i = 1; i <= 50; i++) {
        ReadyBatch ready = prefetcher.next();
        assertEquals(i, ready.position().batches());
        ready.batch().close();
      }
      assertNull(prefetcher.next());
      assertNull(prefetcher.next(), "the end must last");
      assertNotSame(Thread.currentThread(), source.thread);
    }
    assertTrue(source.closed);
  }

  @Test
  void itIsNeverFurtherAheadThanTheQueueIsLong() throws Exception {
    Source source = new Source(100, null);
    try (Prefetcher prefetcher = new Prefetcher(source, 4)) {
      for (int taken = 0; taken < 5; taken++) {
        int ahead = taken + 4 + 1; // One more waits for its place.
        assertSoon(() -> source.made.get() == ahead);
        Thread.sleep(120);
        assertEquals(ahead, source.made.get());
        prefetcher.next().batch().close();
      }
    }
  }

  @Test
  void failuresSurfaceInTheirPlaceWithTheirCause() throws IOException {
    IOException damage = new IOException("shard 3: damaged");
    try (Prefetcher prefetcher = new Prefetcher(new Source(2, damage), 8)) {
      prefetcher.next().batch().close();
      prefetcher.next().batch().close();
      for (int i = 0; i < 2; i++) {
        IOException e = assertThrows(IOException.class, prefetcher::next);
        assertEquals("shard 3: damaged", e.getMessage());
        assertSame(damage, e.getCause());
      }
    }
    OutOfMemoryError full = new OutOfMemoryError("full");
    try (Prefetcher prefetcher = new Prefetcher(new Source(0, full), 8)) {
      OutOfMemoryError e = assertThrows(OutOfMemoryError.class, prefetcher::next);
      assertEquals("full", e.getMessage());
      assertSame(full, e.getCause());
    }
    for (Throwable failure :
        List.of(new IllegalArgumentException("odd"), new AssertionError("defect"))) {
      try (Prefetcher prefetcher = new Prefetcher(new Source(0, failure), 8)) {
        IllegalStateException e = assertThrows(IllegalStateException.class, prefetcher::next);
        assertEquals("reading ahead failed: " + failure, e.getMessage());
        assertSame(failure, e.getCause());
      }
    }
  }

  @Test
  void closingEndsTheThreadAndFreesWhatNobodyTook() throws Exception {
    Source source = new Source(100, null);
    Prefetcher prefetcher = new Prefetcher(source, 2);
    VlaBatch taken = prefetcher.next().batch();
    assertSoon(() -> source.made.get() == 4); // One taken, two queued, one waiting.
    assertTimeoutPreemptively(Duration.ofSeconds(5), prefetcher::close);
    assertFalse(source.thread.isAlive());
    assertTrue(source.closed);
    assertFalse(taken.inputIds().isNull());
    for (VlaBatch batch : source.all.subList(1, 4)) {
      assertTrue(batch.inputIds().isNull());
    }
    taken.close();
  }

  /** An interrupted trainer finishes its step and looks at the flag itself. */
  @Test
  void waitingSurvivesAnInterruptAndKeepsTheFlag() throws Exception {
    CountDownLatch open = new CountDownLatch(1);
    Source numbers = new Source(5, null);
    BatchSource slow =
        new BatchSource() {
          @Override
          public ReadyBatch next() throws IOException {
            try {
              open.await();
            } catch (InterruptedException e) {
              throw new IOException(e);
            }
            return numbers.next();
          }

          @Override
          public void close() {}
        };
    try (Prefetcher prefetcher = new Prefetcher(slow, 2)) {
      Thread.currentThread().interrupt();
      Thread opener =
          new Thread(
              () -> {
                try {
                  Thread.sleep(100);
                } catch (InterruptedException e) {
                  throw new AssertionError(e);
                }
                open.countDown();
              });
      opener.start();
      ReadyBatch ready = prefetcher.next();
      assertTrue(Thread.interrupted());
      assertEquals(1, ready.position().batches());
      ready.batch().close();
      opener.join();
    }
  }
}
