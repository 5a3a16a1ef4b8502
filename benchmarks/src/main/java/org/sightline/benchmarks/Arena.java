package org.sightline.benchmarks;

import java.util.ArrayDeque;
import java.util.Deque;
import org.bytedeco.javacpp.Pointer;

/** Objects that outlive the scopes they were made in, closed together, last made first. */
final class Arena implements AutoCloseable {
  private final Deque<AutoCloseable> kept = new ArrayDeque<>();

  /** Takes a native object out of the open scopes. */
  <P extends Pointer> P keep(P pointer) {
    pointer.retainReference();
    return closing(pointer);
  }

  /** Closes an object that no scope knows. */
  <C extends AutoCloseable> C closing(C closeable) {
    kept.push(closeable);
    return closeable;
  }

  @Override
  public void close() {
    while (!kept.isEmpty()) {
      try {
        kept.pop().close();
      } catch (RuntimeException e) {
        throw e;
      } catch (Exception e) {
        throw new IllegalStateException(e);
      }
    }
  }
}
