package org.sightline;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.Platform;

/** The modes of files, which bind root no less than others once it has laid down two privileges. */
public final class Permissions {
  private interface LibC extends Library {
    int capget(int[] header, int[] data);

    int capset(int[] header, int[] data);
  }

  /** Of linux/capability.h: the third version, this thread. */
  private static final int[] HEADER = {0x20080522, 0};

  private static final int DAC_OVERRIDE_AND_READ_SEARCH = 1 << 1 | 1 << 2;

  private Permissions() {}

  /** Runs a task in a thread, and threads that it makes, which files' modes bind. */
  public static void enforced(FailedWrites.Writer task) throws Exception {
    assumeTrue(Platform.isLinux(), "capabilities are Linux's");
    LibC libc = Native.load("c", LibC.class);
    FailingCall.inThread(
        () -> {
          int[] sets = new int[6]; // Effective, permitted, inheritable; then of numbers from 32 on.
          assumeTrue(libc.capget(HEADER, sets) == 0);
          sets[0] &= ~DAC_OVERRIDE_AND_READ_SEARCH;
          sets[1] &= ~DAC_OVERRIDE_AND_READ_SEARCH; // By which access(2) goes.
          assumeTrue(libc.capset(HEADER, sets) == 0);
          task.write();
        });
  }
}
