package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.vla.tabletop.TabletopGenerator;

/** What one desktop writes another one reads, whatever digits and letters their languages have. */
class LocaleTest {
  private static final Pattern OTHER_DIGIT = Pattern.compile("[\\p{Nd}&&[^0-9]]");

  @TempDir private Path folder;

  /** Renders data and runs commands in one process; the first that fails ends it. */
  static final class Commands {
    private Commands() {}

    public static void main(String[] args) throws IOException {
      System.out.println(String.format("%d", 7)); // Which digits this process has.
      TabletopGenerator.generate(Path.of(args[0]), new TabletopGenerator.Options(3, 1, 64, 3));
      for (String command : Arrays.asList(args).subList(1, args.length)) {
        int code =
            Main.execute(
                new PrintWriter(System.out, true),
                new PrintWriter(System.err, true),
                command.split(" "));
        if (code != 0) {
          System.exit(code);
        }
      }
    }
  }

  private String run(List<String> locale, List<String> commands) throws Exception {
    List<String> line =
        Stream.of(
                Stream.of(Path.of(System.getProperty("java.home"), "bin", "java").toString()),
                locale.stream(),
                Stream.of("-Dfile.encoding=UTF-8", "-Xmx1g", "-cp"),
                Stream.of(System.getProperty("java.class.path"), Commands.class.getName()),
                commands.stream())
            .flatMap(part -> part)
            .toList();
    Path log = folder.resolve("log");
    int code =
        new ProcessBuilder(line)
            .redirectErrorStream(true)
            .redirectOutput(log.toFile())
            .start()
            .waitFor();
    String said = Files.readString(log);
    assertEquals(0, code, said);
    return said;
  }

  @ParameterizedTest
  @CsvSource({
    "-Duser.language=ar -Duser.region=EG -Duser.country=EG, \u0667",
    "-Duser.language=tr -Duser.country=TR, 7"
  })
  void whatARunWritesIsReadInEveryOther(String locale, String seven) throws Exception {
    String run = folder.resolve("run").toString();
    String data = folder.resolve("data").toString();
    String said =
        run(
            List.of(locale.split(" ")),
            List.of(
                data,
                "finetune --modes ALIGN --data "
                    + data
                    + " --steps 2 --batch-size 2 --evaluations 1"
                    + " --checkpoint-interval 1 --output "
                    + run,
                "finetune --steps 3 --resume " + run,
                "eval --json --data %s --adapter %s/align".formatted(data, run),
                "export --max-shard-size 8MB --adapter %s/align --output %s/merged"
                    .formatted(run, folder)));
    assertEquals(seven, said.lines().findFirst().orElseThrow(), "the locale is not there");
    assertFalse(OTHER_DIGIT.matcher(said.lines().skip(1).reduce("", String::concat)).find(), said);
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : files.filter(file -> !file.endsWith("log")).toList()) {
        String name = folder.relativize(file).toString();
        assertTrue(StandardCharsets.US_ASCII.newEncoder().canEncode(name), name);
        if (Files.isRegularFile(file) && name.matches(".*\\.(json|csv|html|md|txt|index)")) {
          Matcher digit = OTHER_DIGIT.matcher(Files.readString(file));
          assertFalse(digit.find(), () -> name + ": " + digit.group());
        }
      }
    }
    Cli.succeed("finetune --steps 4 --resume " + run);
    Cli.succeed("inspect " + folder.resolve("merged"));
    Cli.succeed("inspect " + data);
  }
}
