package org.sightline.vla.data.loader;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.sightline.CopyQueue;
import org.sightline.Device;
import org.sightline.Sightline;
import org.sightline.binding.Scopes;

/** Batches whose pixels are sent ahead, through a queue that stands for a GPU's. */
class SendingAheadTest {
  @BeforeAll
  static void load() {
    Sightline.load();
  }

  /** Notes who sent, received and dropped what; its copies are of the numbers + 100. */
  private static final class Queue implements CopyQueue {
    final ConcurrentLinkedQueue<String> events = new ConcurrentLinkedQueue<>();
    final AtomicInteger underWay = new AtomicInteger();
    final CountDownLatch sent = new CountDownLatch(2);
    volatile Thread sender;

    @Override
    public Sent send(Tensor tensor) {
      int number = (int) tensor.item_float();
      Tensor there = Scopes.own(tensor.add(new Scalar(100)));
      sender = Thread.currentThread();
      events.add("sent " + number);
      underWay.incrementAndGet();
      sent.countDown();
      return new Sent() {
        @Override
        public Tensor receive() {
          assertNotEquals(sender, Thread.currentThread());
          events.add("received " + number);
          underWay.decrementAndGet();
          return there;
        }

        @Override
        public void drop() {
          underWay.decrementAndGet();
          there.close();
        }
      };
    }
  }

  /** Batches 0, 1, 2, …, each of its number. */
  private static final class Numbers implements BatchSource {
    private int next;
    private boolean closed;

    @Override
    public ReadyBatch next() {
      Tensor pixels = Scopes.own(torch.tensor((float) next));
      Tensor none = Scopes.own(torch.empty(0));
      return new ReadyBatch(
          new VlaBatch(pixels, none, none, none, none),
          new StreamPosition("numbers", ++next, List.of()));
    }

    @Override
    public void close() {
      closed = true;
    }
  }

  @Test
  void pixelsAreSentWhileTheBatchBeforeIsInUseAndReceivedByWhoUsesThem() throws Exception {
    var queue = new Queue();
    var numbers = new Numbers();
    try (var source = new Prefetcher(new SendingAhead(numbers, queue), 2)) {
      queue.sent.await(); // Before anything was asked for.
      assertFalse(queue.events.contains("received 0"));
      for (int i = 0; i < 3; i++) {
        try (VlaBatch batch = source.next().take()) {
          assertEquals(100 + i, batch.pixelValues().item_float());
          assertTrue(queue.events.contains("received " + i));
        }
      }
    }
    assertTrue(numbers.closed);
    assertEquals(0, queue.underWay.get(), "what nobody took was dropped");
  }

  @Test
  void onlyGpusHaveAQueue() {
    assertTrue(CopyQueue.to(Device.CPU).isEmpty());
    assertTrue(CopyQueue.to(Device.META).isEmpty());
  }
}
