package org.sightline.binding;

import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.Supplier;

/**
 * Guards an object that owns native memory: any number of threads use it at a time, closing waits
 * for them, and later uses are told where it was closed.
 */
public final class Lifetime {
  private static final AtomicLong CREATED = new AtomicLong();

  private final String owner;
  private final long number = CREATED.incrementAndGet();
  private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
  private volatile ClosedAt closedAt;

  public Lifetime(String owner) {
    this.owner = owner;
  }

  /**
   * Passes while the object is open.
   *
   * @throws IllegalStateException whose cause is the stack trace of the closing
   */
  public void check() {
    ClosedAt closed = closedAt;
    if (closed != null) {
      throw new IllegalStateException(
          owner + " is closed; it was closed " + closed.where() + ", see the cause", closed);
    }
  }

  /** Runs {@code action} while the object is open; it is not closed meanwhile. */
  public <T> T use(Supplier<T> action) {
    enter();
    try {
      return action.get();
    } finally {
      leave();
    }
  }

  /**
   * In which order whoever uses several objects at a time begins to: in different orders, two that
   * wait for each other's closing would never end.
   */
  public long number() {
    return number;
  }

  /** Begins a use, which {@link #leave} ends: {@link #use} for calls that make no garbage. */
  public void enter() {
    lock.readLock().lock();
    if (closedAt != null) {
      lock.readLock().unlock();
      check();
    }
  }

  public void leave() {
    lock.readLock().unlock();
  }

  /** As {@link #use}, with no other use at the same time. */
  public void useAlone(Runnable action) {
    lockAlone();
    try {
      check();
      action.run();
    } finally {
      lock.writeLock().unlock();
    }
  }

  /** Runs {@code release} once, when nobody uses the object. */
  public void close(Runnable release) {
    lockAlone();
    try {
      if (closedAt == null) {
        closedAt = new ClosedAt(owner, Thread.currentThread().getName());
        release.run();
      }
    } finally {
      lock.writeLock().unlock();
    }
  }

  private void lockAlone() {
    if (lock.getReadHoldCount() > 0) {
      throw new IllegalStateException(owner + " cannot be changed or closed within its own call");
    }
    lock.writeLock().lock();
  }

  private static final class ClosedAt extends Exception {
    private static final long serialVersionUID = 1;

    ClosedAt(String owner, String thread) {
      super(owner + " was closed here, by thread " + thread);
    }

    /** The frame that called {@code close()}. */
    String where() {
      StackTraceElement[] frames = getStackTrace();
      // Lifetime.close, the owner's close, its caller.
      return frames.length > 2 ? "at " + frames[2] : "elsewhere";
    }
  }
}
