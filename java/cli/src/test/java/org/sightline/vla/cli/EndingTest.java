package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.DType;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.Weights;

/** A signal in the middle of a command. */
class EndingTest {
  @TempDir Path folder;

  @Test
  void anExportThatIsAskedToEndLeavesNothingHalf() throws Exception {
    Path base = folder.resolve("base");
    Path parent = Files.createDirectory(folder.resolve("exports"));
    OpenVlaConfig nano = OpenVlaConfig.nano();
    HuggingFaceCheckpoint.write(base, nano, Weights.random(nano, 7), DType.FLOAT32, Long.MAX_VALUE);
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    String cache = System.getProperty("org.bytedeco.javacpp.cachedir");
    if (cache != null) {
      command.add("-Dorg.bytedeco.javacpp.cachedir=" + cache);
    }
    command.addAll(List.of("-cp", System.getProperty("java.class.path"), Main.class.getName()));
    command.addAll(List.of("export", "--weights", base.toString()));
    // A file for each tensor, made durable: hundreds of pieces of work.
    command.addAll(List.of("--output", parent.resolve("merged").toString()));
    command.addAll(List.of("--max-shard-size", "10KB"));
    Path printed = folder.resolve("printed");
    Process process =
        new ProcessBuilder(command)
            .redirectErrorStream(true)
            .redirectOutput(printed.toFile())
            .start();
    while (files(parent).isEmpty() && !process.waitFor(1, TimeUnit.MILLISECONDS)) {}
    process.destroy(); // SIGTERM
    assertTrue(process.waitFor(60, TimeUnit.SECONDS), "it did not end");
    assertEquals(128 + 15, process.exitValue(), () -> "it ended by itself");
    assertEquals(List.of(), files(parent));
    // JDK 24 and later warn of native access.
    List<String> lines = Files.readAllLines(printed);
    lines.removeIf(line -> line.isEmpty() || line.startsWith("WARNING: "));
    assertEquals(List.of(), lines);
  }

  private static List<String> files(Path folder) throws Exception {
    try (Stream<Path> files = Files.list(folder)) {
      return files.map(file -> file.getFileName().toString()).toList();
    }
  }
}
