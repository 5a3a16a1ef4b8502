package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.formats.file.AtomicFolder;
import org.sightline.vla.data.image.ImageCodec;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.tabletop.TabletopGenerator;
import org.sightline.vla.teacher.TinyTeacher;

/**
 * Each file that a command reads, spoiled in each way: exit code 2, its name and nothing written;
 * or, where the command can do without it, the figures there are with it.
 */
class SpoiledFilesTest {
  private static final Pattern NUMBER = Pattern.compile("(?<![\\w.-])-?\\d+(\\.\\d+)?(e-?\\d+)?");
  private static final Pattern FIGURES = Pattern.compile("\\S+ -> \\S+");
  private static final List<String> HUGE =
      List.of("9223372036854775807", "1e308", "-9223372036854775808");

  @TempDir private static Path folder;
  @TempDir private static Path copy;

  private static final Map<String, String> EXPECTED = new HashMap<>();

  @BeforeAll
  static void write() throws IOException {
    Path data = folder.resolve("data");
    TabletopGenerator.generate(data, new TabletopGenerator.Options(4, 1, 64, 3));
    TinyTeacher.write(Files.createDirectories(folder.resolve("teacher")));
    Cli.succeed(
        "finetune --modes align --steps 2 --evaluations 1 --checkpoint-interval 1 --batch-size 2 --rank 2 --projector-size 8 --projector-init fitted:2 --views 1 --output %s --data %s --teacher %s --teacher-cache %s"
            .formatted(
                folder.resolve("run"), data, folder.resolve("teacher"), folder.resolve("cache")));
    Files.write(
        folder.resolve("image.jpg"),
        ImageCodec.encodeJpeg(new RgbImage(16, 16, new byte[16 * 16 * 3]), 0.9f));
    Files.writeString(folder.resolve("config.yaml"), "{log-interval: 1}");
    restore(folder, copy);
    for (String command : List.of("act", "export", "finetune", "report", "resume")) {
      EXPECTED.put(command, figures(run(command).out()));
      restore(copy, folder);
    }
  }

  /** Makes a folder the copy of another. */
  private static void restore(Path from, Path to) throws IOException {
    for (String name : listing(to).keySet()) {
      if (!Files.exists(from.resolve(name))) {
        AtomicFolder.delete(to.resolve(name));
      }
    }
    for (String name : listing(from).keySet()) {
      Path source = from.resolve(name);
      Path target = to.resolve(name);
      if (Files.isDirectory(source)) {
        Files.createDirectories(target);
      } else if (!Files.isRegularFile(target)
          || Files.size(source) != Files.size(target)
          || !Files.getLastModifiedTime(source).equals(Files.getLastModifiedTime(target))) {
        AtomicFolder.delete(target);
        Files.copy(source, target, StandardCopyOption.COPY_ATTRIBUTES);
      }
    }
  }

  @BeforeEach
  void mend() throws IOException {
    restore(copy, folder);
  }

  private static Map<String, Long> listing(Path folder) throws IOException {
    Map<String, Long> sizes = new TreeMap<>();
    try (Stream<Path> paths = Files.walk(folder)) {
      for (Path path : paths.skip(1).toList()) {
        String name = folder.relativize(path).toString();
        sizes.put(name, Files.isRegularFile(path) ? Files.size(path) : -1);
      }
    }
    return sizes;
  }

  private static Cli run(String name) throws IOException {
    String line =
        switch (name) {
          case "act" -> "act --image F/image.jpg --instruction go --adapter F/run/align";
          case "eval" -> "eval --data F/data --adapter F/run/align";
          case "export" -> "export --output F/out --adapter F/run/align";
          case "finetune" ->
              "finetune --steps 1 --evaluations 1 --modes align --data F/data --weights F/run/base --teacher F/teacher --views 1 --teacher-cache F/cache --config F/config.yaml --output F/out";
          case "report" -> "finetune --resume F/run";
          case "resume" -> "finetune --resume F/run --steps 3";
          case "plan" -> "plan --weights F/run/base";
          default -> "inspect F/" + name;
        };
    return Cli.run(line.replace("F/", folder + "/"));
  }

  /** What a command says of a model: all, or of a run what it learned. */
  private static String figures(String out) {
    return out.contains(" -> ")
        ? FIGURES.matcher(out).results().map(MatchResult::group).collect(Collectors.joining("\n"))
        : out;
  }

  @ParameterizedTest
  @Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD) // A pipe that is opened.
  @CsvSource(
      delimiter = '|',
      value = {
        "run/base/config.json | act eval export finetune resume plan",
        "run/base/preprocessor_config.json | act eval export finetune resume plan",
        "run/base/tokenizer.json | act eval finetune",
        "run/base/model.safetensors | act eval export finetune resume run/base",
        "run/align/adapter_config.json | act eval export run/align",
        "run/align/adapter_model.safetensors | act eval export run/align",
        "run/align/dataset_statistics.json | act eval export",
        "image.jpg | act",
        "data/dataset_info.json | eval finetune resume data",
        "data/features.json | eval finetune resume data",
        "data/sightline_tabletop-train.tfrecord-00000-of-00001 | eval finetune resume",
        "teacher/config.json | finetune resume",
        "teacher/model.safetensors | finetune resume",
        "run/run.json | act eval export report resume run",
        "run/align/result.json | report resume run",
        "run/align/alignment_projector.safetensors | run/align/alignment_projector.safetensors",
        "config.yaml | may finetune",
        "run/fitted_projector.safetensors | report resume",
        "run/align/log.csv | may report resume",
        "run/align/timing.csv | may report resume",
        "run/align/frames.json | may report resume",
        "run/align/checkpoints/step-000000002/manifest.json | may resume",
        "run/align/checkpoints/step-000000002/state.json | may resume",
        "run/align/checkpoints/step-000000002/optimizer.safetensors | may resume",
        "run/align/best/adapter_model.safetensors | may resume report",
        "run/align/events.out.tfevents.0.sightline | may resume report",
        "run/base/tokenizer_config.json | may act export finetune resume",
        "run/report.html | may report",
        "run/.lock | may report",
        "KIND/kind.txt | may finetune resume",
        "KIND/index | may finetune resume",
        "KIND/features.bf16 | may finetune resume",
        "KIND/lock | may finetune resume",
      })
  void isNamedOrNotNeeded(String path, String uses) throws Exception {
    String kind = folder.resolve("cache").toFile().list()[0];
    Path file = folder.resolve(path.replace("KIND", "cache/" + kind));
    byte[] whole = Files.readAllBytes(file);
    boolean may = uses.startsWith("may ");
    String[] commands = uses.replace("may ", "").split(" ");
    int turn = Math.floorMod(path.hashCode(), commands.length);
    for (String defect : List.of("empty", "cut", "foreign", "flipped", "folder", "pipe")) {
      Files.delete(file);
      switch (defect) {
        case "empty" -> Files.createFile(file);
        case "cut" -> Files.write(file, Arrays.copyOf(whole, whole.length - whole.length / 3));
        case "foreign" -> Files.writeString(file, "[[\"a\", 1]]\n1,2\n");
        case "flipped" -> {
          byte[] flipped = Arrays.copyOf(whole, Math.max(2, whole.length));
          flipped[1] ^= (byte) 0x80;
          Files.write(file, flipped);
        }
        case "folder" -> Files.createDirectory(file);
        default -> assertEquals(0, new ProcessBuilder("mkfifo", "" + file).start().waitFor());
      }
      String command = commands[turn++ % commands.length];
      Cli cli = check(file, defect, command, may);
      if (cli.exitCode() == 0) {
        assertEquals(EXPECTED.get(command), figures(cli.out()), cli.err());
      } else {
        assertTrue(cli.err().contains(file.toString()), cli.err());
      }
    }
    if (!path.matches(".*(json|csv|txt)")) {
      return;
    }
    String text = new String(whole, StandardCharsets.UTF_8);
    List<MatchResult> numbers = NUMBER.matcher(text).results().toList();
    for (String huge : numbers.isEmpty() ? List.<String>of() : HUGE) {
      MatchResult number = numbers.get(Math.floorMod(31 * turn, numbers.size()));
      Files.delete(file);
      Files.writeString(
          file, text.substring(0, number.start()) + huge + text.substring(number.end()));
      Cli cli =
          check(file, huge + " at " + number.start(), commands[turn++ % commands.length], true);
      assertTrue(
          cli.exitCode() == 0
              || cli.err().contains(file.getParent().toString())
              || cli.err().contains("must be finite"),
          cli.err());
    }
  }

  /** Runs a command with a spoiled file, which it may do without or not, and mends the file. */
  private Cli check(Path file, String defect, String command, boolean may) throws IOException {
    Map<String, Long> before = listing(folder);
    Cli cli = run(command);
    String what = "%s, %s, %s:\n%s%s".formatted(file, defect, command, cli.out(), cli.err());
    assertTrue(cli.exitCode() == 2 || may && cli.exitCode() == 0, what);
    assertFalse((cli.out() + cli.err()).matches("(?s).*(\\tat |NaN \\w|Infinity).*"), what);
    if (!may) {
      assertEquals(before, listing(folder), what);
    }
    mend();
    return cli;
  }
}
