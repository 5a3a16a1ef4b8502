package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.Platform;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * While open, no file of this process can grow past some bytes: whatever writes the next one gets
 * an error, through whichever of Java's ways to write.
 */
public final class FileSizeLimit implements AutoCloseable {
  private interface LibC extends Library {
    int getrlimit(int resource, long[] limits);

    int setrlimit(int resource, long[] limits);
  }

  /** What writes files. */
  public interface Writer {
    void write() throws Exception;
  }

  private static final int RLIMIT_FSIZE = 1;

  private final LibC libc = Native.load("c", LibC.class);
  private final long[] before = new long[2];

  private FileSizeLimit(long bytes) {
    assertEquals(0, libc.getrlimit(RLIMIT_FSIZE, before));
    assertEquals(0, libc.setrlimit(RLIMIT_FSIZE, new long[] {bytes, before[1]}));
  }

  @Override
  public void close() {
    assertEquals(0, libc.setrlimit(RLIMIT_FSIZE, before));
  }

  /**
   * Runs a writer under every limit (from 16 bytes on in steps of an eighth) until it succeeds.
   *
   * @param folder what each failure must leave as it was, and name
   */
  public static void failures(Path folder, Writer writer) throws Exception {
    assumeTrue(Platform.isLinux() && Platform.is64Bit(), "setrlimit's numbers are those of Linux");
    Map<String, String> before = content(folder);
    int failures = 0;
    for (long bytes = 0; ; bytes += Math.max(1, bytes / 8)) {
      try (FileSizeLimit limit = new FileSizeLimit(bytes)) {
        writer.write();
      } catch (IOException | UncheckedIOException e) {
        assertTrue(e.getMessage().contains(folder.toString()), () -> "no file in: " + e);
        assertEquals(before, content(folder), "a limit of " + bytes + " bytes");
        failures++;
        continue;
      }
      assertTrue(failures > 0, "nothing failed");
      return;
    }
  }

  /** Every file of a folder and its bytes. */
  private static Map<String, String> content(Path folder) throws IOException {
    Map<String, String> content = new TreeMap<>();
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : files.toList()) {
        boolean regular = Files.isRegularFile(file);
        content.put(
            folder.relativize(file).toString(),
            regular ? HexFormat.of().formatHex(Files.readAllBytes(file)) : "folder");
      }
    }
    return content;
  }
}
