package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.Sightline;
import picocli.CommandLine;

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
  void doctorSpeaksToMachinesToo() {
    JsonObject facts = Cli.run("doctor --json").json();
    assertEquals(Sightline.version(), facts.get("sightline").getAsString());
    assertEquals(Sightline.commit(), facts.get("commit").getAsString());
    JsonObject cpu = facts.getAsJsonObject("cpu_backend");
    assertTrue(cpu.get("is_available").getAsBoolean());
    assertEquals(Sightline.cpu().implementation(), cpu.get("implementation").getAsString());
    assertTrue(facts.get("threads").getAsInt() > 0);
  }

  @Test
  void versionIsTheLibrarys() {
    assertEquals(
        "sightline %s, commit %s".formatted(Sightline.version(), Sightline.commit()),
        Cli.run("--version").out().strip());
  }

  @Test
  void helpListsCommandsOptionsAndExitCodes() {
    String help = Cli.run("--help").out();
    assertTrue(help.contains("doctor") && help.contains("finetune"), help);
    assertTrue(help.contains("2     wrong usage"), help);
    String finetune = Cli.run("finetune --help").out();
    assertTrue(finetune.contains("--lambda") && finetune.contains("Default: 0.2"), finetune);
    for (String command : List.of("finetune", "eval", "act", "export", "plan")) {
      String options = Cli.run(command + " --help").out();
      assertFalse(options.contains("Default: []"), options); // Says nothing to a user.
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "                                  | Missing command",
        "plan --epochs=3                   | Unknown option: '--epochs=3'; --steps counts optimizer steps",
        "finetune --output OUT --bf16 True | '--bf16', 'True'; --dtype bfloat16",
        "finetune --output OUT --dtype half | expected one of [FLOAT32, BFLOAT16], found \"half\"",
        "finetune                          | Missing required option: '--output=DIR'",
        "finetune --output OUT --steps 0   | --steps must be at least 1, found 0",
        "finetune --output OUT --modes x   | expected one of [DEFAULT, FREEZE, ALIGN]"
            + " (case-insensitive)",
        "finetune --output OUT --modes align,align | --modes must be distinct, found [ALIGN,"
            + " ALIGN]",
        "finetune --output OUT --preset big| preset must be openvla-7b, mid, nano or pico, found \"big\"",
        "finetune --output OUT --preset openvla-7b | --weights must name the safetensors files",
        "finetune --output OUT --layers 5  | --layers must be in 0..4 for nano, found 5",
        "finetune --output OUT --eval-fraction 1 | --eval-fraction must be between 0 and 1, found"
            + " 1.0",
        "finetune --output OUT --layers 1,1 | --layers must be distinct, found [1, 1]",
        "finetune --output OUT --rank 0    | --rank must be at least 1, found 0",
        "finetune --output OUT --batch-size 2000000000 | a step needs at least",
        "finetune --output OUT --projector-size 2000000000 | a step needs at least",
        "plan --projector-size 2000000000 | the step passes 2^63 bytes: --batch-size 8, --rank 32 or"
            + " --projector-size 2000000000 is too large",
        "finetune --output OUT --alpha 0   | --alpha must be finite and above 0, found 0.0",
        "finetune --output OUT --alpha 1e41 | --alpha must be finite, found 1.0E41, of rank 32 a scale"
            + " of Infinity in float32",
        "finetune --output OUT --dropout 0.99999999999 | --dropout must be in [0, 1), found 1.0",
        "finetune --output OUT --dropout 1 | --dropout must be in [0, 1), found 1.0",
        "finetune --output OUT --lr -1     | --lr must be finite and at least 0, found -1.0",
        "finetune --output OUT --clip NaN  | --clip must be finite and at least 0, found NaN",
        "finetune --output OUT --lambda -1 | --lambda must be finite and at least 0, found -1.0",
        "finetune --output OUT --warmup -1 | --warmup must be at least 0, found -1",
        "finetune --output OUT --early-stop 1 --early-stop-delta -1 | --early-stop-delta must be"
            + " finite and at least 0, found -1.0",
        "finetune --output OUT --early-stop 1 --early-stop-metric acc | --early-stop-metric must be"
            + " one of [action_loss, alignment_loss, token_accuracy, action_l1], found acc",
        "finetune --output OUT --train-projector --projector-dropout 2 | --projector-dropout must be"
            + " in [0, 1), found 2.0",
        "finetune --output OUT --step 3    | did you mean --steps?",
        "finetune --output OUT --config OUT | --config must be a file, found the folder ",
        "finetune --output OUT --data =1   | --data must name a file or folder, found nothing",
        "finetune --output= --steps 1      | --output must name a folder, found nothing",
        "eval --data OUT --adapter OUT     | --adapter must be a PEFT folder",
        "eval --data OUT --eval-fraction 3 | --eval-fraction must be in [0, 1), found 3.0",
        "act --image OUT --instruction go  | --image must be a file, found the folder ",
        "plan --memory 99999999999TB       | expected less than 2^63 bytes",
        "finetune --output OUT --data OUT/none | --data: no such file or folder: ",
        "finetune --output OUT --data OUT=1,OUT | --data must have a share for every folder or for"
            + " none, found ",
        "finetune --output OUT --data OUT=0 | --data must be [NAME@]DIR[=SHARE] with a positive"
            + " SHARE, found ",
        "finetune --output OUT --data OUT=x | --data must be [NAME@]DIR[=SHARE] with a positive"
            + " SHARE, found ",
        "finetune --output OUT --device gpu | --device must be auto, cpu, cuda or cuda:N, found",
        "finetune --output OUT --device cpu:1 | --device must be auto, cpu, cuda or cuda:N, found",
        "finetune --output OUT --device cuda:99 | --device must be one that works here, found cuda:99: ",
        "finetune --output OUT --device meta | --device must be one that works here, found meta: ",
        "finetune --output OUT --views -1  | --augmentations-per-image must be at least 0, found -1",
        "finetune --output OUT --data-threads -1 | --data-threads must be at least 0, found -1",
        "finetune --output OUT --shuffle-buffer -1 | --shuffle-buffer must be at least 0, found -1",
        "finetune --output OUT --teacher-cache OUT/c | --teacher-cache needs --augmentations-per-image"
            + " of 1 or more, or augment off, found 0",
        "finetune --output OUT --data OUT  | no dataset_info.json, expected a TFDS/RLDS dataset",
        "finetune --output OUT --teacher OUT/none.safetensors | --teacher: no such file or folder:"
            + " ",
        "finetune --output OUT --teacher-preset dinov2_vitl14 | --teacher-preset needs a teacher,"
            + " the weights of dinov2_vitl14",
        "finetune --output OUT --teacher OUT --teacher-preset dinov3 | --teacher-preset must be one"
            + " of [c-radio_v3-b, ",
        "finetune --output OUT --tokenizer OUT/none.json | --tokenizer: no such file or folder: ",
        "finetune --output OUT --weights OUT/none.safetensors | --weights: no such file or folder:"
            + " ",
      })
  void unusableInputIsExitCode2AndOneLineThatNamesIt(String arguments, String expected)
      throws IOException {
    String given = arguments == null ? "" : arguments.strip().replace("OUT", folder.toString());
    Cli cli = Cli.run(given);
    assertEquals(2, cli.exitCode(), cli.err());
    assertTrue(cli.err().contains(expected), cli.err());
    assertFalse(cli.err().contains("\tat "), "a stack trace was printed: " + cli.err());
    try (Stream<Path> files = Files.list(folder)) {
      assertEquals(List.of(), files.toList(), "nothing may be written");
    }
  }

  @Test
  void aWrongOptionIsNotBuriedUnderTheListOfOptions() {
    Cli cli = Cli.run("finetune --output %s --stepz 3".formatted(folder));
    assertEquals(2, cli.exitCode());
    assertTrue(cli.err().startsWith("sightline: Unknown options: '--stepz', '3'"), cli.err());
    assertTrue(cli.err().contains(" finetune --help\" lists"), cli.err());
    assertTrue(cli.err().lines().count() <= 3, cli.err());
  }

  @ParameterizedTest
  @CsvSource({
    "fintune, ', did you mean finetune?'",
    "train, ', did you mean finetune?'",
    "qqq, ''"
  })
  void aWrongCommandIsAnsweredInOneLine(String command, String suggestion) {
    Cli cli = Cli.run(command + " --output x");
    assertEquals(2, cli.exitCode());
    assertEquals(
        "sightline: no command '%s'%s (there are doctor, finetune, eval, act, serve, study, inspect, plan, schema, export)\n"
            .formatted(command, suggestion),
        cli.err());
  }

  @Test
  void whatTheSystemRefusesIsSaidInWords() {
    CommandLine line = new CommandLine(CommandLine.Model.CommandSpec.create());
    assertEquals(
        "/x/.lock: permission denied", reported(line, new AccessDeniedException("/x/.lock"), 2));
    assertTrue(
        reported(line, new OutOfMemoryError("Java heap space"), 2)
            .startsWith("the Java heap is too small (Java heap space): lower --batch-size"));
    assertTrue(reported(line, new UnsatisfiedLinkError("no jni"), 1).startsWith("no jni"));
    Error unloadable = new UnsatisfiedLinkError("Sightline cannot load its native libraries");
    unloadable.initCause(new UnsatisfiedLinkError("libcudart.so.13: cannot open shared object"));
    assertTrue(reported(line, unloadable, 2).startsWith("Sightline cannot load"));
  }

  private static String reported(CommandLine line, Throwable error, int exitCode) {
    StringWriter err = new StringWriter();
    line.setErr(new PrintWriter(err));
    assertEquals(exitCode, Errors.report(error, line, false));
    return err.toString().strip().replaceFirst("^sightline: ", "");
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
