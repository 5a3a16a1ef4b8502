package org.sightline;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.sun.jna.Library;
import com.sun.jna.Memory;
import com.sun.jna.Native;
import com.sun.jna.Platform;
import com.sun.jna.Pointer;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;

/** Calls of the system that fail with EIO: by a filter of seccomp, which a thread has for good. */
public enum FailingCall {
  // Numbers of x86-64.
  CLOSE(3),
  FSYNC(74),
  RENAME(82);

  private interface LibC extends Library {
    int prctl(int option, long a, Pointer b, long c, long d);
  }

  private static final LibC LIBC = Native.load("c", LibC.class);
  private static final int PR_SET_NO_NEW_PRIVS = 38;
  private static final int PR_SET_SECCOMP = 22;
  private static final int SECCOMP_MODE_FILTER = 2;
  private static final int EIO = 5;

  private final int number;

  FailingCall(int number) {
    this.number = number;
  }

  static void assumeKnown() {
    assumeTrue(Platform.isLinux() && Platform.isIntel() && Platform.is64Bit(), "numbers of calls");
  }

  /** Runs a task in a thread of its own, which may {@link #begin} there. */
  public static void inThread(FailedWrites.Writer task) throws Exception {
    assumeKnown();
    FutureTask<Void> result =
        new FutureTask<>(
            () -> {
              task.write();
              return null;
            });
    new Thread(result).start();
    try {
      result.get();
    } catch (ExecutionException e) {
      if (e.getCause() instanceof Exception cause) {
        throw cause;
      }
      throw (Error) e.getCause();
    }
  }

  /** From now on the call fails in this thread. */
  public void begin() {
    // Loads the call's number; if it is this one, EIO, else leave.
    long[] program = {
      0x20,
      0x15 | 1L << 24 | (long) number << 32,
      0x06 | (0x50000L | EIO) << 32,
      0x06 | 0x7fff0000L << 32
    };
    Memory filter = new Memory(8L * program.length);
    filter.write(0, program, 0, program.length);
    Memory header = new Memory(16);
    header.setLong(0, program.length);
    header.setPointer(8, filter);
    assumeTrue(
        LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, null, 0, 0) == 0
            && LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0) == 0,
        "no filters of calls here");
  }
}
