package org.sightline.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.train.checkpoint.CheckpointStore;

/** Real processes, killed where it hurts. */
class KilledRunTest {
  private static final int KILLS = 20;
  private static final int STEPS = 100;

  @TempDir Path folder;

  private static List<String> command(Path run, int steps) {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    // Short-lived: what starts fast wins.
    command.addAll(
        List.of("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx256m"));
    if (Runtime.version().feature() >= 22) {
      command.add("--enable-native-access=ALL-UNNAMED");
    }
    command.addAll(List.of("-cp", System.getProperty("java.class.path")));
    command.add(ToyRun.class.getName());
    command.add(run.toString());
    command.add(Integer.toString(steps));
    return command;
  }

  private static Process start(List<String> command) throws IOException {
    return new ProcessBuilder(command).redirectErrorStream(true).start();
  }

  @Test
  void aRunKilledTwentyTimesEndsWithTheBytesOfOneThatWasNot() throws Exception {
    Path whole = folder.resolve("whole");
    Path killed = folder.resolve("killed");
    assertEquals("end COMPLETED " + STEPS, last(toEnd(start(command(whole, STEPS)))));

    Random random = new Random(20);
    int resumed = 0;
    for (int kill = 0; kill < KILLS; kill++) {
      Process process = start(command(killed, STEPS));
      List<String> lines = new ArrayList<>();
      try (BufferedReader reader = process.inputReader(StandardCharsets.UTF_8)) {
        // Past some events, then at any moment: in a step, between them, within a checkpoint.
        int events = random.nextInt(3);
        for (int seen = 0; seen <= events; ) {
          String line = reader.readLine();
          assertTrue(line != null, () -> "the run ended by itself: " + lines);
          lines.add(line);
          seen += line.startsWith("step") ? 1 : 0;
        }
        Thread.sleep(0, random.nextInt(1_000_000));
        Thread.sleep(random.nextInt(25));
        process.destroyForcibly();
        assertTrue(process.waitFor(20, TimeUnit.SECONDS));
      }
      assertEquals(128 + 9, process.exitValue(), () -> "SIGKILL, after " + lines);
      resumed += lines.get(0).startsWith("resumed") ? 1 : 0;
    }
    assertTrue(resumed > KILLS / 2, "resumed " + resumed + " times");
    List<String> rest = toEnd(start(command(killed, STEPS)));
    assertEquals("end COMPLETED " + STEPS, last(rest));
    assertTrue(rest.get(0).startsWith("resumed "), rest::toString);
    assertFalse(rest.stream().anyMatch(line -> line.startsWith("warning")), rest::toString);

    for (String file : List.of("adapter.safetensors", "log.csv")) {
      assertArrayEquals(
          Files.readAllBytes(whole.resolve(file)), Files.readAllBytes(killed.resolve(file)), file);
    }
    assertSameCheckpoints(whole.resolve("checkpoints"), killed.resolve("checkpoints"));
  }

  private static void assertSameCheckpoints(Path expected, Path found) throws IOException {
    CheckpointStore store = new CheckpointStore(expected, 2);
    assertEquals(List.of(STEPS - 4, STEPS), store.steps());
    assertEquals(files(expected), files(found), "nothing is left over");
    for (String file : files(expected)) {
      Path mine = expected.resolve(file);
      Path other = found.resolve(file);
      if (file.endsWith(".safetensors")) {
        assertArrayEquals(Files.readAllBytes(mine), Files.readAllBytes(other), file);
      } else if (file.endsWith("state.json")) {
        assertEquals(withoutTimes(mine), withoutTimes(other));
      }
    }
  }

  private static List<String> files(Path folder) throws IOException {
    try (Stream<Path> tree = Files.walk(folder)) {
      return tree.filter(Files::isRegularFile)
          .map(file -> folder.relativize(file).toString())
          .sorted()
          .toList();
    }
  }

  /** The state of every part, but for seconds and for the size of the log of times. */
  private static JsonObject withoutTimes(Path file) throws IOException {
    JsonObject state = JsonParser.parseString(Files.readString(file)).getAsJsonObject();
    assertEquals(
        Set.of(
            "run",
            "interval",
            "parameters",
            "accumulation",
            "projectors",
            "projector-dropout",
            "optimizer",
            "random",
            "dropout",
            "data",
            "log",
            "timing",
            "tensorboard",
            "early-stopping"),
        state.keySet());
    state.remove("timing");
    state.getAsJsonObject("run").remove("seconds");
    state.getAsJsonObject("interval").remove("seconds");
    return state;
  }

  /** A real file system that is full, in a name space of its own. */
  @Test
  void aFullDiskLeavesTheLastCheckpointAndTheRunGoesOnOnceThereIsRoom() throws Exception {
    Path mount = Files.createDirectory(folder.resolve("small"));
    String script =
        """
        set -e
        mount -t tmpfs -o size=%d tmpfs "$0"
        echo mounted
        "$@" || echo "exit $?"
        ls -a "$0/run/checkpoints"
        mount -o remount,size=64m "$0"
        "$@"
        cp "$0"/run/log.csv "$0"/run/adapter.safetensors "$0/.."
        """
            // Room for the first checkpoints beside the logs, not for all.
            .formatted(150 << 10);
    List<String> command = new ArrayList<>(List.of("unshare", "-rm", "sh", "-c", script));
    command.add(mount.toString());
    command.addAll(command(mount.resolve("run"), 30));
    List<String> lines;
    try {
      lines = toEnd(start(command));
    } catch (IOException e) {
      assumeTrue(false, "unshare cannot be run here: " + e.getMessage());
      return;
    }
    assumeTrue(lines.contains("mounted"), "mounting is not permitted here: " + lines);
    String text = String.join("\n", lines);
    assertTrue(
        lines.stream()
            .anyMatch(
                line ->
                    line.matches(
                        "Caused by: org.sightline.train.checkpoint.CheckpointException: checkpoint of step \\d+"
                            + " in .*/checkpoints cannot be written: .*No space left on device"
                            + " \\(\\d+ bytes free\\); nothing is left of it, the newest complete"
                            + " one is of step \\d+")),
        text);
    assertTrue(lines.contains("exit 1"), text);
    assertFalse(lines.stream().anyMatch(line -> line.endsWith(".tmp")), text);
    assertTrue(lines.stream().anyMatch(line -> line.startsWith("resumed ")), text);
    assertEquals("end COMPLETED 30", last(lines), text);

    Path whole = folder.resolve("whole");
    assertEquals("end COMPLETED 30", last(toEnd(start(command(whole, 30)))));
    for (String file : List.of("adapter.safetensors", "log.csv")) {
      assertArrayEquals(
          Files.readAllBytes(whole.resolve(file)), Files.readAllBytes(folder.resolve(file)), file);
    }
  }

  private static List<String> toEnd(Process process) throws Exception {
    try (BufferedReader reader =
        new BufferedReader(
            new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
      List<String> lines = reader.lines().toList();
      assertTrue(process.waitFor(20, TimeUnit.SECONDS));
      return lines;
    }
  }

  private static String last(List<String> lines) {
    return lines.get(lines.size() - 1);
  }
}
