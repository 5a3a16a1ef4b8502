package org.sightline.distributed;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;

/** Rank 1 is a process of its own, which is killed or stopped while rank 0 waits for it. */
class EndedProcessTest {
  @Test
  void aKilledProcessIsNamed() throws Exception {
    assertEquals(
        "rank 0 of 2: allReduce failed, rank 1 ended or does not answer",
        messageAfter("KILL", Duration.ofMinutes(2)));
  }

  @Test
  void aStoppedProcessIsNamedAfterTheTimeout() throws Exception {
    assertEquals(
        "rank 0 of 2: allReduce failed, rank 1 ended or does not answer",
        messageAfter("STOP", Duration.ofSeconds(3)));
  }

  private static String messageAfter(String signal, Duration limit) throws Exception {
    int port = ProcessGroupTest.freePort();
    // Starting a JVM on a busy machine takes longer than the limit of a call.
    Process other = start(port, limit);
    try (BufferedReader out = other.inputReader(StandardCharsets.UTF_8)) {
      assertEquals("loaded", out.readLine());
      try (ProcessGroup group = ProcessGroup.open(Rendezvous.local(0, 2, port, limit))) {
        String line = out.readLine();
        while (line.startsWith("[Gloo]")) { // It prints there.
          line = out.readLine();
        }
        assertEquals("joined", line);
        Process kill = new ProcessBuilder("kill", "-" + signal, Long.toString(other.pid())).start();
        assertEquals(0, kill.waitFor());
        DistributedException failure =
            assertThrows(
                DistributedException.class, () -> group.allReduce(torch.ones(5), Reduction.SUM));
        return failure.getMessage().replaceFirst(" \\(.*", "");
      }
    } finally {
      other.destroyForcibly();
      assertTrue(other.waitFor(60, TimeUnit.SECONDS));
    }
  }

  private static Process start(int port, Duration limit) throws IOException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    String cache = System.getProperty("org.bytedeco.javacpp.cachedir");
    if (cache != null) {
      command.add("-Dorg.bytedeco.javacpp.cachedir=" + cache);
    }
    command.addAll(List.of("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"));
    command.add(System.getProperty("java.class.path"));
    command.add(EndedProcessTest.class.getName());
    command.add(Integer.toString(port));
    command.add(Long.toString(limit.toMillis()));
    return new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
  }

  public static void main(String[] arguments) throws IOException {
    org.sightline.Sightline.load();
    System.out.println("loaded");
    Duration limit = Duration.ofMillis(Long.parseLong(arguments[1]));
    try (ProcessGroup group =
        ProcessGroup.open(Rendezvous.local(1, 2, Integer.parseInt(arguments[0]), limit))) {
      System.out.println("joined");
      System.in.read(); // Until it is killed.
    }
  }
}
