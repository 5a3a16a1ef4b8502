package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.sun.jna.Library;
import com.sun.jna.Native;

/**
 * While open, no file of this process can grow past some bytes: whatever writes the next one gets
 * an error, through whichever of Java's ways to write.
 */
final class FileSizeLimit implements AutoCloseable {
  private interface LibC extends Library {
    int getrlimit(int resource, long[] limits);

    int setrlimit(int resource, long[] limits);
  }

  private static final int RLIMIT_FSIZE = 1;

  private final LibC libc = Native.load("c", LibC.class);
  private final long[] before = new long[2];

  FileSizeLimit(long bytes) {
    assertEquals(0, libc.getrlimit(RLIMIT_FSIZE, before));
    assertEquals(0, libc.setrlimit(RLIMIT_FSIZE, new long[] {bytes, before[1]}));
  }

  @Override
  public void close() {
    assertEquals(0, libc.setrlimit(RLIMIT_FSIZE, before));
  }
}
