package org.sightline.vla.data.loader;

import java.io.IOException;
import org.sightline.CopyQueue;

/** Sends the pixels of another source's batches off as soon as they are made. */
record SendingAhead(BatchSource source, CopyQueue queue) implements BatchSource {
  @Override
  public ReadyBatch next() throws IOException {
    ReadyBatch ready = source.next();
    return ready == null ? null : ready.sentBy(queue);
  }

  @Override
  public void close() throws IOException {
    source.close();
  }
}
