package org.sightline.vla.data;

import java.util.Iterator;

/**
 * Batches in order. The caller closes every batch, and the iterator itself, which holds a file
 * open. A damaged dataset surfaces as {@link java.io.UncheckedIOException}.
 */
public interface BatchIterator extends Iterator<VlaBatch>, AutoCloseable {
  @Override
  void close();
}
