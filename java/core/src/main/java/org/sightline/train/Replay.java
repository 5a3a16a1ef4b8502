package org.sightline.train;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.sightline.train.checkpoint.Checkpointable;
import org.sightline.train.checkpoint.Checkpointable.State;

/**
 * Batches that can be had again, with the random numbers that followed each: those taken since it
 * was made, which it closes at the end. They are taken by {@link #hasNext}, in the scope of whoever
 * asks, which must stay open as long as this.
 */
final class Replay<B> implements Iterator<B>, AutoCloseable {
  private final Iterator<? extends B> source;
  private final Supplier<List<Checkpointable>> random;
  private final List<B> taken = new ArrayList<>();
  private final List<Map<Checkpointable, State>> after = new ArrayList<>();
  private int next;

  /**
   * @param random the sources of random numbers
   */
  Replay(Iterator<? extends B> source, Supplier<List<Checkpointable>> random) {
    this.source = source;
    this.random = random;
  }

  @Override
  public boolean hasNext() {
    if (next == taken.size() && source.hasNext()) {
      taken.add(source.next());
      Map<Checkpointable, State> states = new LinkedHashMap<>();
      random.get().forEach(part -> states.put(part, part.state()));
      after.add(states);
    }
    return next < taken.size();
  }

  @Override
  public B next() {
    after.get(next).forEach(Checkpointable::restore);
    return taken.get(next++);
  }

  void rewind() {
    next = 0;
  }

  @Override
  public void close() {
    taken.forEach(BatchPass::close);
  }
}
