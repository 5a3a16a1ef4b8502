package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.DType;
import org.sightline.train.LayerReduction;
import org.sightline.train.LearningRateSchedule;
import org.sightline.train.Mode;
import org.sightline.vla.finetune.RunFile;
import picocli.CommandLine;

/** Options from files and recipes. */
class ConfigTest {
  @TempDir private Path folder;

  /** The options of finetune after parsing; nothing is run. */
  private static CommandLine parse(String arguments) throws IOException {
    CommandLine line =
        new CommandLine(new FineTuneCommand()).setCaseInsensitiveEnumValuesAllowed(true);
    String[] args = arguments.split(" ");
    ConfigDefaults.install(line, args);
    line.parseArgs(args);
    return line;
  }

  private static Object value(CommandLine line, String option) {
    return line.getCommandSpec().findOption(option).getValue();
  }

  private Path file(String text) throws IOException {
    return Files.writeString(folder.resolve("run.yaml"), text);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        """
        # A comment.
        output: somewhere
        modes: [default, align]
        layers:
          - 1
          - 3
        lr: 5e-4
        steps: 17
        gradient-checkpointing: true
        early-stop-metric: "token_accuracy"
        """,
        """
        {"output": "somewhere", "modes": ["default", "align"], "layers": [1, 3], "lr": 5e-4,
         "steps": 17, "gradient-checkpointing": true, "early-stop-metric": "token_accuracy"}
        """
      })
  void readsYamlAndJson(String text) throws IOException {
    CommandLine line = parse("--config " + file(text));
    assertEquals(Path.of("somewhere"), value(line, "--output"));
    assertEquals(List.of(Mode.DEFAULT, Mode.ALIGN), value(line, "--modes"));
    assertEquals(List.of(1, 3), value(line, "--layers"));
    assertEquals(5e-4, value(line, "--lr"));
    assertEquals(17, value(line, "--steps"));
    assertEquals(true, value(line, "--gradient-checkpointing"));
    assertEquals("token_accuracy", value(line, "--early-stop-metric"));
    assertEquals(0.2, value(line, "--lambda"), "the default");
  }

  @Test
  void theCommandLineGoesBeforeTheFileAndTheFileBeforeTheRecipe() throws IOException {
    Path file = file("steps: 17\nlr: 0.25\nmodes: [default]\noutput: there");
    CommandLine line =
        parse("--recipe=blindvla --config %s --steps 5 --modes freeze".formatted(file));
    assertEquals(5, value(line, "--steps"));
    assertEquals(List.of(Mode.FREEZE), value(line, "--modes"));
    assertEquals(0.25, value(line, "--lr"));
    assertEquals(16.0, value(line, "--alpha"));
    assertEquals(2048, value(line, "--projector-size"));
  }

  /** PAPER: block 16, λ 0.2, frozen MLP, r = 32, α = 16, AdamW 5e-4 constant, batch 8. */
  @Test
  void blindvlaIsThePapersRecipe() throws IOException {
    CommandLine line = parse("--recipe blindvla --output x");
    Map<String, Object> expected =
        Map.ofEntries(
            Map.entry("--modes", List.of(Mode.ALIGN)),
            Map.entry("--layers", List.of(16)),
            Map.entry("--layer-reduction", LayerReduction.SUM),
            Map.entry("--lambda", 0.2),
            Map.entry("--projector-size", 2048),
            Map.entry("--train-projector", false),
            Map.entry("--rank", 32),
            Map.entry("--alpha", 16.0),
            Map.entry("--dropout", 0.0),
            Map.entry("--lr", 5e-4),
            Map.entry("--schedule", LearningRateSchedule.Shape.CONSTANT),
            Map.entry("--warmup", 0),
            Map.entry("--clip", 0.0),
            Map.entry("--batch-size", 8),
            Map.entry("--gradient-accumulation-steps", 1),
            Map.entry("--steps", 60_000),
            Map.entry("--dtype", DType.BFLOAT16));
    expected.forEach((option, value) -> assertEquals(value, value(line, option), option));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "steps: 1#batchsize: 4       | run.yaml, line 2: unknown key 'batchsize', expected one of [alpha, ",
        "output: OUT#epochs: 3       | run.yaml, line 2: unknown key 'epochs', expected --steps counts optimizer steps",
        "rank: 1##lora_r: 2          | run.yaml, line 3: key 'rank' is there twice",
        "steps: 1##steps: 2          | run.yaml, line 3: key 'steps' is there twice",
        "#lr: {high: 1}              | run.yaml, line 2: 'lr': expected a value or a list of values, found keys with values",
        "layers: [1, [2]]            | run.yaml, line 1: 'layers': expected a value or a list of values, found a list",
        "lr:                         | run.yaml, line 1: 'lr': expected a value or a list of values, found nothing",
        "- lr                        | run.yaml, line 1: expected keys with values, found a list",
        "steps: 1#lr: [1             | run.yaml, line 2, column 7: ",
        "resume: x                   | run.yaml, line 1: unknown key 'resume'",
        "output: OUT#steps: many     | run.yaml, line 2: Invalid value for option '--steps': 'many' is not an int",
        "output: OUT#dtype: float8   | run.yaml, line 2: Invalid value for option '--dtype': expected one of [FLOAT32, BFLOAT16]",
        "steps: 1                    | Missing required option: '--output=DIR'",
        "output: OUT#warmup: -1      | --warmup must be at least 0, found -1 (--warmup is from FOLDER/run.yaml, line 2)",
        "output: OUT#log-interval: 0 | --log-interval must be at least 1, found 0",
        "output: OUT#early-stop: -1  | --early-stop must be at least 0, found -1",
        "output: OUT#keep-checkpoints: 0 | --keep-checkpoints must be at least 1, found 0",
        "output: OUT#projector-dropout: 0.1 | --projector-dropout must be 0 without --train-projector, found 0.1",
      })
  void saysWhatIsWrongAndWhere(String text, String expected) throws IOException {
    Path file = file(text.strip().replace('#', '\n').replace("OUT", folder + "/out"));
    Cli cli = Cli.run("finetune --config " + file);
    assertEquals(2, cli.exitCode(), cli.err());
    assertTrue(cli.err().contains(expected.replace("FOLDER", folder.toString())), cli.err());
    assertFalse(cli.err().contains("\tat "), "a stack trace was printed: " + cli.err());
    assertFalse(Files.exists(folder.resolve("out")), "nothing is begun");
  }

  @Test
  void anOptionOfTheCommandLineIsNotBlamedOnTheFile() throws IOException {
    Path file = file("output: x\nsteps: 3");
    Cli cli = Cli.run("finetune --config %s --steps many".formatted(file));
    assertEquals(2, cli.exitCode());
    assertTrue(cli.err().contains("Invalid value for option '--steps'"), cli.err());
    assertFalse(cli.err().contains("run.yaml"), cli.err());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "finetune --config OUT/none.yaml   | --config: no such file or folder: OUT/none.yaml",
        "finetune --recipe ours            | --recipe must be one of [blindvla], found ours",
        "finetune --recipe blindvla --output OUT/x | --layers must be in 0..4 for nano, found 16 (--layers is from --recipe blindvla, line 4)",
        "finetune --recipe blindvla --output OUT/x --layers 9 | --layers must be in 0..4 for nano, found 9%",
        "finetune --resume OUT             | --resume: OUT holds no run.json, expected the folder of an earlier run",
        "finetune --resume OUT --config c  | --resume takes all settings from its folder: --config and --recipe cannot be given",
        "finetune --config                 | Missing required parameter for option '--config'",
      })
  void sourcesThatAreNotThere(String arguments, String expected) {
    Cli cli = Cli.run(arguments.strip().replace("OUT", folder.toString()));
    assertEquals(2, cli.exitCode(), cli.err());
    String text = expected.replace("OUT", folder.toString());
    assertTrue(cli.err().contains(text.replace("%", System.lineSeparator())), cli.err());
  }

  @Test
  void malformedJsonIsExplainedAsJson() throws IOException {
    Path file = Files.writeString(folder.resolve("run.json"), "{\"options\":\n {\"steps\": 3,");
    String problem =
        file
            + ": line 2, column 14: found unexpected end-of-input within/between Object entries, expected JSON";
    for (String source : List.of("--config " + file, "--resume " + folder)) {
      Cli cli = Cli.run("finetune " + source);
      assertEquals(2, cli.exitCode(), cli.err());
      assertTrue(cli.err().contains(problem), cli.err());
    }
  }

  @Test
  void aFileThatIsNoTextIsNamed() throws IOException {
    Path file = Files.write(folder.resolve("run.yaml"), new byte[] {(byte) 0xc3, 0x28});
    Cli cli = Cli.run("finetune --config " + file);
    assertEquals(2, cli.exitCode());
    assertTrue(cli.err().contains(file + ": document: found bytes that are not UTF-8"), cli.err());
  }

  static Stream<Arguments> bombs() {
    String levels = "expected values without aliases, 100 levels deep at most, found ";
    StringBuilder laughs = new StringBuilder("a: &a [lol, lol]\n");
    for (char c = 'b'; c < 'n'; c++) {
      laughs.append("%s: &%s [%s]\n".formatted(c, c, ("*" + (char) (c - 1) + ", ").repeat(9)));
    }
    StringBuilder blocks = new StringBuilder();
    for (int i = 0; i < 1_000; i++) {
      blocks.append(" ".repeat(i)).append("a:\n");
    }
    return Stream.of(
        Arguments.of("steps: " + "[".repeat(100_000) + "]".repeat(100_000), levels + "101 levels"),
        Arguments.of("{a: ".repeat(100_000) + "1" + "}".repeat(100_000), levels + "101 levels"),
        Arguments.of("- ".repeat(100_000) + "1", levels + "101 levels"),
        Arguments.of("? ".repeat(50_000) + "a", levels + "101 levels"),
        Arguments.of(blocks.toString(), levels + "101 levels"),
        Arguments.of(laughs.toString(), ", line 2, column 8: " + levels + "an alias"),
        Arguments.of("steps: &a [*a]", levels + "an alias"),
        Arguments.of("seed: &a 7\nsteps: *a", levels + "an alias"),
        Arguments.of("steps: " + "1".repeat(4_000_000), "found 4000007 bytes, expected at most"),
        Arguments.of("steps: !!javax.script.ScriptEngineManager [x]", "run.yaml"),
        Arguments.of("steps: 5 # \u0007", "run.yaml: "),
        Arguments.of("steps: 5\u0000", "run.yaml: "),
        Arguments.of("%YAML 3.0\n---\nsteps: 5", "run.yaml"),
        Arguments.of("a: 1\n---\nb: 2", "run.yaml"),
        Arguments.of("[a]: 1", "run.yaml, line 1: "),
        Arguments.of("{a: 1}: 1", "run.yaml, line 1: "),
        Arguments.of("null: 1", "run.yaml, line 1: "));
  }

  @ParameterizedTest
  @MethodSource("bombs")
  void whatMayGrowIsRefused(String text, String expected) throws IOException {
    Path file = file(text);
    Path output = folder.resolve("out");
    Cli cli =
        assertTimeoutPreemptively(
            Duration.ofSeconds(30),
            () -> Cli.run("finetune --config %s --output %s".formatted(file, output)));
    assertEquals(2, cli.exitCode(), cli.err());
    assertTrue(cli.err().contains(file.toString()), cli.err());
    assertTrue(cli.err().contains(expected), cli.err());
    assertFalse(cli.err().contains("\tat "), "a stack trace was printed: " + cli.err());
    assertFalse(Files.exists(output));
  }

  /** To picocli these are variables of the system, of the environment, and files of arguments. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "${sys:user.home}",
        "${env:HOME}",
        "a$${sys:user.home}",
        "${x:-y}",
        "$",
        "$$",
        "${",
        "@x"
      })
  void valuesAreWhatWasTyped(String text) throws IOException {
    CommandLine line = parse("--config " + file("output: \"" + text + "\""));
    assertEquals(Path.of(text), value(line, "--output"));

    Path run = Files.createDirectory(folder.resolve(text));
    Files.writeString(run.resolve(RunFile.NAME), "{\"options\": {\"camera\": \"" + text + "\"}}");
    line = parse("--resume " + run);
    assertEquals(text, value(line, "--camera"));
    assertEquals(run, value(line, "--output"));

    for (String command : List.of("inspect", "finetune --resume", "eval --data")) {
      Cli cli = Cli.run(command + " " + text);
      assertEquals(2, cli.exitCode());
      assertTrue(cli.err().contains(text), cli.err());
    }
  }
}
