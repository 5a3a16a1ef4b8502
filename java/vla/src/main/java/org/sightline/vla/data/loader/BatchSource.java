package org.sightline.vla.data.loader;

import java.io.IOException;

/** Where batches come from: made on demand, or ahead of time by a thread. */
interface BatchSource extends AutoCloseable {
  /** The next batch, or null after the last one. */
  ReadyBatch next() throws IOException;

  @Override
  void close() throws IOException;
}
