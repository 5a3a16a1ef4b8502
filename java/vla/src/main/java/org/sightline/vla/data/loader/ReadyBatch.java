package org.sightline.vla.data.loader;

import org.sightline.CopyQueue;

/**
 * A batch and the place in the stream right behind it, owned by whoever holds it.
 *
 * @param batch its pixels on the host, or {@code sent}
 * @param position where the next batch starts
 * @param sent pixels on their way to where they will be looked at; null: they stay
 */
record ReadyBatch(VlaBatch batch, StreamPosition position, CopyQueue.Sent sent)
    implements AutoCloseable {
  ReadyBatch(VlaBatch batch, StreamPosition position) {
    this(batch, position, null);
  }

  /** The same with its pixels under way. */
  ReadyBatch sentBy(CopyQueue queue) {
    return new ReadyBatch(batch, position, queue.send(batch.pixelValues()));
  }

  /** The batch, with its pixels where they were sent. */
  VlaBatch take() {
    return sent == null ? batch : batch.withPixelValues(sent.receive());
  }

  @Override
  public void close() {
    batch.close();
    if (sent != null) {
      sent.drop();
    }
  }
}
