package org.sightline;

/** Remembers whether, and where, an object was closed. */
final class Lifetime {
  private final String owner;
  private volatile ClosedAt closedAt;

  Lifetime(String owner) {
    this.owner = owner;
  }

  /** Returns true the first time only. */
  synchronized boolean close() {
    if (closedAt != null) {
      return false;
    }
    closedAt = new ClosedAt(owner, Thread.currentThread().getName());
    return true;
  }

  /**
   * Passes while the object is open.
   *
   * @throws IllegalStateException whose cause is the stack trace of the closing
   */
  void check() {
    ClosedAt closed = closedAt;
    if (closed != null) {
      throw new IllegalStateException(
          owner + " is closed; it was closed " + closed.where() + ", see the cause", closed);
    }
  }

  private static final class ClosedAt extends Exception {
    private static final long serialVersionUID = 1;
    private static final String OWN_PACKAGE = Lifetime.class.getPackageName() + ".";

    ClosedAt(String owner, String thread) {
      super(owner + " was closed here, by thread " + thread);
    }

    /** The first frame of the caller. */
    String where() {
      for (StackTraceElement frame : getStackTrace()) {
        if (!frame.getMethodName().equals("close") && !frame.getMethodName().equals("<init>")) {
          return "at " + frame;
        }
      }
      return "by " + OWN_PACKAGE;
    }
  }
}
