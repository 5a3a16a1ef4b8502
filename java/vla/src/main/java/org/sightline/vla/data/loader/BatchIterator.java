package org.sightline.vla.data.loader;

import java.util.Iterator;
import org.sightline.train.checkpoint.Checkpointable;

/**
 * Batches in order. The caller closes every batch, and the iterator itself, which holds files open
 * and may run threads. A damaged dataset surfaces as {@link java.io.UncheckedIOException}.
 *
 * <p>Its checkpoint state is the {@link #position}: of the batches handed out, whatever was read
 * ahead.
 */
public interface BatchIterator extends Iterator<VlaBatch>, Checkpointable, AutoCloseable {
  /** The place behind the last batch that was handed out. */
  StreamPosition position();

  /**
   * Goes to a place, before the first batch was asked for.
   *
   * @throws IllegalArgumentException if it is of another stream: other data, split, shares, seed or
   *     shuffle buffer
   * @throws IllegalStateException after the first batch
   */
  void seek(StreamPosition position);

  /** Seconds that the caller spent waiting for batches. */
  double waitedSeconds();

  @Override
  default String name() {
    return "data";
  }

  @Override
  default State state() {
    return State.ofJson(position().toJson());
  }

  @Override
  default void restore(State state) {
    seek(StreamPosition.fromJson(state.json()));
  }

  @Override
  default boolean mayBeginAnew() {
    return true;
  }

  @Override
  void close();
}
