package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * Whatever of a writer's work the system refuses: its files are as they were, or as they will be.
 */
public final class FailedWrites {
  /** What writes files; the same each time. */
  public interface Writer {
    void write() throws Exception;
  }

  private final Path folder;
  private final Writer writer;
  private final Map<String, String> before;

  private FailedWrites(Path folder, Writer writer) throws IOException {
    this.folder = folder;
    this.writer = writer;
    this.before = content();
  }

  /**
   * Runs a writer with room for so many bytes a file (from 16 on in steps of an eighth, and for all
   * but the last), and with each of its calls failing. In the end it succeeds.
   *
   * @param folder what each failure must leave as it was, and name
   */
  public static void of(Path folder, Writer writer) throws Exception {
    FailingCall.assumeKnown();
    new FailedWrites(folder, writer).run();
  }

  private void run() throws Exception {
    for (long bytes = 0; !written(bytes); bytes += Math.max(1, bytes / 8)) {}
    Map<String, String> after = content();
    long largest =
        after.entrySet().stream()
            .filter(file -> !file.getValue().equals(before.get(file.getKey())))
            .mapToLong(file -> file.getValue().length() / 2)
            .max()
            .orElseThrow();
    restore();
    assertTrue(!written(largest - 1), "of " + largest + " bytes");
    assertTrue(!writtenWithout(FailingCall.FSYNC), "nothing was made durable");
    if (writtenWithout(FailingCall.RENAME)) {
      assertEquals(after, content());
      restore();
    }
    writer.write();
    assertEquals(after, content());
  }

  private boolean writtenWithout(FailingCall call) throws Exception {
    return succeeds(
        () ->
            FailingCall.inThread(
                () -> {
                  call.begin();
                  writer.write();
                }),
        call.toString());
  }

  private boolean written(long bytes) throws Exception {
    return succeeds(
        () -> {
          try (FileSizeLimit limit = new FileSizeLimit(bytes)) {
            writer.write();
          }
        },
        "a limit of " + bytes + " bytes");
  }

  private boolean succeeds(Writer writer, String name) throws Exception {
    try {
      writer.write();
      return true;
    } catch (IOException | UncheckedIOException e) {
      assertTrue(e.getMessage().contains(folder.toString()), () -> name + ": no file in: " + e);
      assertEquals(before, content(), name);
      return false;
    }
  }

  private void restore() throws IOException {
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : files.sorted((a, b) -> b.compareTo(a)).toList()) {
        String old = before.get(folder.relativize(file).toString());
        if (old == null) {
          Files.delete(file);
        } else if (!old.equals("folder")) {
          Files.write(file, HexFormat.of().parseHex(old));
        }
      }
    }
    assertEquals(before, content());
  }

  /** Every file of the folder and its bytes. */
  private Map<String, String> content() throws IOException {
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
