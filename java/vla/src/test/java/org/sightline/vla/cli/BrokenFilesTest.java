package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.vla.tabletop.TabletopGenerator;

/**
 * Every file of a run, in one way or another no file of its kind: a command does without it, or
 * ends with code 2 and names it. Nothing changes, nobody waits.
 */
class BrokenFilesTest {
  private static final List<String> WRITTEN_ONLY =
      List.of("README.md", "report.html", "plot.png", ".lock", "events.out.tfevents.0.sightline");

  /** What stands in the place of a file. */
  private enum Defect {
    EMPTY,
    HALF,
    FOLDER,
    PIPE;

    void put(Path file, byte[] content) throws IOException, InterruptedException {
      switch (this) {
        case EMPTY -> Files.createFile(file);
        case HALF -> Files.write(file, Arrays.copyOf(content, content.length / 2));
        case FOLDER -> Files.createDirectory(file);
        case PIPE -> assertEquals(0, new ProcessBuilder("mkfifo", "" + file).start().waitFor());
      }
    }
  }

  @TempDir private Path folder;

  @Test
  void aFileThatIsNoneIsNamed() throws Exception {
    Path run = folder.resolve("run");
    Path data = folder.resolve("data");
    TabletopGenerator.generate(data, new TabletopGenerator.Options(4, 1, 64, 3));
    Cli.succeed(
        "finetune --output %s --data %s --modes align --steps 2 --evaluations 1 --checkpoint-interval 1"
            .formatted(run, data));
    List<String> commands =
        List.of("inspect " + run, "eval --data %s --adapter %s/align".formatted(data, run));
    List<Path> files;
    try (Stream<Path> all = Files.walk(run)) {
      files =
          all.filter(Files::isRegularFile)
              .filter(file -> !WRITTEN_ONLY.contains(file.getFileName().toString()))
              .sorted()
              .toList();
    }
    int refused = 0;
    for (int i = 0; i < files.size(); i++) {
      Path file = files.get(i);
      Path aside = folder.resolve("aside");
      Files.move(file, aside);
      Defect defect = Defect.values()[i % Defect.values().length];
      String command = commands.get(i % 3 % commands.size());
      defect.put(file, Files.readAllBytes(aside));
      TreeMap<Path, Long> before = sizes(run);
      Cli cli =
          Assertions.assertTimeoutPreemptively(
              Duration.ofSeconds(60), () -> Cli.run(command), defect + " " + file);
      String what = defect + " " + file + "\n" + command + "\n" + cli.err();
      assertTrue(cli.exitCode() == 0 || cli.exitCode() == 2, what);
      assertFalse(cli.err().matches("(?s).*(Exception|\tat ).*"), what);
      if (cli.exitCode() == 2) {
        assertTrue(cli.err().contains(file.getFileName().toString()), what);
        refused++;
      }
      assertEquals(before, sizes(run), what);
      Files.delete(file);
      Files.move(aside, file);
    }
    assertTrue(refused >= 4, refused + " of " + files.size());
  }

  private static TreeMap<Path, Long> sizes(Path folder) throws IOException {
    TreeMap<Path, Long> sizes = new TreeMap<>();
    try (Stream<Path> all = Files.walk(folder)) {
      for (Path path : (Iterable<Path>) all::iterator) {
        sizes.put(path, Files.size(path));
      }
    }
    return sizes;
  }
}
