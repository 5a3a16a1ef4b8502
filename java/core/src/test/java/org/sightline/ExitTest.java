package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A JVM that ends within an OpenBLAS product: OpenBLAS's destructor would wait for ever. */
class ExitTest {
  @ParameterizedTest
  @CsvSource({"exit, 7, hook", "halt, 7, ''", "return, 0, hook"})
  void aProcessEndsWithinAProduct(String way, int code, String printed) throws Exception {
    Process process = start(way);
    assertEnds(process, code, printed, () -> {});
  }

  @Test
  void aSignalEndsItWithinAProduct() throws Exception {
    Process process = start("wait");
    // SIGTERM; the process's own destroy closes the pipe.
    assertEnds(process, 128 + 15, "hook", process.toHandle()::destroy);
  }

  private static Process start(String way) throws IOException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    String cache = System.getProperty("org.bytedeco.javacpp.cachedir");
    if (cache != null) {
      command.add("-Dorg.bytedeco.javacpp.cachedir=" + cache);
    }
    command.addAll(List.of("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"));
    command.add(System.getProperty("java.class.path"));
    command.addAll(List.of(ExitProbe.class.getName(), way));
    ProcessBuilder builder =
        new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD);
    // More than one, whatever the machine has: one thread waits for nobody.
    builder.environment().put("OPENBLAS_NUM_THREADS", "2");
    return builder.start();
  }

  private static void assertEnds(Process process, int code, String printed, Runnable end)
      throws IOException, InterruptedException {
    var out = process.inputReader(StandardCharsets.UTF_8);
    assertEquals("begun", out.readLine()); // A busy machine may take its time for that.
    end.run();
    boolean ended = process.waitFor(60, TimeUnit.SECONDS);
    if (!ended) {
      process.destroyForcibly();
    }
    assertTrue(ended, "it did not end");
    assertEquals(code, process.exitValue());
    assertEquals(printed, out.lines().collect(Collectors.joining()));
  }
}
