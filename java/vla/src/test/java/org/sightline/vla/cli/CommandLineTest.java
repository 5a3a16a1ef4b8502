package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.Sightline;

/** Help, versions, exit codes and what users read when something is wrong. */
class CommandLineTest {
  @TempDir private Path folder;

  @Test
  void doctorReportsEveryPart() {
    Cli cli = Cli.succeed("doctor");
    for (String label :
        new String[] {"JDK", "sightline", "CPU backend", "CUDA backend", "libtorch", "memory"}) {
      assertTrue(cli.out().lines().anyMatch(line -> line.startsWith(label + " ")), cli.out());
    }
    assertTrue(cli.out().contains(Sightline.cpu().implementation()), cli.out());
    assertTrue(
        Sightline.cuda().isAvailable()
            || cli.out().contains("not available: " + Sightline.cuda().unavailabilityCause()),
        cli.out());
  }

  @Test
  void versionIsTheLibrarys() {
    assertEquals("sightline " + Sightline.version(), Cli.run("--version").out().strip());
  }

  @Test
  void helpListsCommandsOptionsAndExitCodes() {
    String help = Cli.run("--help").out();
    assertTrue(help.contains("doctor") && help.contains("finetune"), help);
    assertTrue(help.contains("2     wrong usage"), help);
    String finetune = Cli.run("finetune --help").out();
    assertTrue(finetune.contains("--lambda") && finetune.contains("Default: 0.2"), finetune);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "                                  | Missing command",
        "bake                              | Unmatched argument at index 0: 'bake'",
        "finetune                          | Missing required option: '--output=DIR'",
        "finetune --output OUT --steps 0   | --steps must be at least 1, found 0",
        "finetune --output OUT --modes x   | expected one of [DEFAULT, FREEZE, ALIGN]"
            + " (case-insensitive)",
        "finetune --output OUT --modes align,align | --modes must be distinct, found [ALIGN,"
            + " ALIGN]",
        "finetune --output OUT --preset big| preset must be openvla-7b, mid or nano, found \"big\"",
        "finetune --output OUT --preset openvla-7b | --weights must name the safetensors files",
        "finetune --output OUT --layers 5  | --layers must be in 0..4 for nano, found 5",
        "finetune --output OUT --eval-fraction 1 | --eval-fraction must be between 0 and 1, found"
            + " 1.0",
        "finetune --output OUT --rank 0    | rank",
        "finetune --output OUT --lr -1     | learningRate",
        "finetune --output OUT --data OUT/none | --data: no such file or folder: ",
        "finetune --output OUT --data OUT=1,OUT | --data must have a share for every folder or for"
            + " none, found ",
        "finetune --output OUT --data OUT=0 | --data must be DIR or DIR=SHARE with a positive"
            + " SHARE, found ",
        "finetune --output OUT --data OUT=x | --data must be DIR or DIR=SHARE with a positive"
            + " SHARE, found ",
        "finetune --output OUT --views -1  | --views must be at least 0, found -1",
        "finetune --output OUT --data-threads -1 | --data-threads must be at least 0, found -1",
        "finetune --output OUT --shuffle-buffer -1 | --shuffle-buffer must be at least 0, found -1",
        "finetune --output OUT --teacher-cache OUT/c | --teacher-cache needs --views of 1 or more,"
            + " or --no-augment, found --views 0",
        "finetune --output OUT --data OUT  | no dataset_info.json, expected a TFDS/RLDS dataset",
        "finetune --output OUT --teacher OUT/none.safetensors | --teacher: no such file or folder:"
            + " ",
        "finetune --output OUT --teacher-preset dinov2_vitl14 | --teacher-preset needs --teacher,"
            + " the weights of dinov2_vitl14",
        "finetune --output OUT --teacher OUT --teacher-preset dinov3 | --teacher-preset must be one"
            + " of [c-radio_v3-b, ",
        "finetune --output OUT --tokenizer OUT/none.json | --tokenizer: no such file or folder: ",
        "finetune --output OUT --weights OUT/none.safetensors | --weights: no such file or folder:"
            + " ",
      })
  void unusableInputIsExitCode2AndOneLineThatNamesIt(String arguments, String expected) {
    String given = arguments == null ? "" : arguments.strip().replace("OUT", folder.toString());
    Cli cli = Cli.run(given);
    assertEquals(2, cli.exitCode(), cli.err());
    assertTrue(cli.err().contains(expected), cli.err());
    assertFalse(cli.err().contains("\tat "), "a stack trace was printed: " + cli.err());
  }

  @Test
  void filesOfAnEarlierRunAreKept() throws IOException {
    Path file = Files.writeString(folder.resolve("plot.png"), "mine");
    Cli cli = Cli.run("finetune --output " + folder);
    assertEquals(2, cli.exitCode());
    assertTrue(cli.err().contains("--overwrite"), cli.err());
    assertEquals("mine", Files.readString(file));
  }

  @Test
  void stacktraceIsPrintedOnRequest() {
    Cli cli = Cli.run("finetune --stacktrace --output %s --steps 0".formatted(folder));
    assertEquals(2, cli.exitCode());
    assertTrue(cli.err().contains("\tat org.sightline.vla.cli"), cli.err());
  }
}
