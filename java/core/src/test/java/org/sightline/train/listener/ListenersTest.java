package org.sightline.train.listener;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.ProjectorConfig;
import org.sightline.train.Evaluation;
import org.sightline.train.FineTuneConfig;
import org.sightline.train.FineTuneResult;
import org.sightline.train.FineTuneResult.End;
import org.sightline.train.Mode;
import org.sightline.train.StepEvent;
import org.sightline.train.checkpoint.Checkpointable;

class ListenersTest {
  private static final String CLEAR = "\r\u001b[K";

  @TempDir Path folder;
  private Locale locale;

  /** One whose decimal comma and grouping would show. */
  @BeforeEach
  void germanLocale() {
    locale = Locale.getDefault();
    Locale.setDefault(Locale.GERMANY);
  }

  @AfterEach
  void restoreLocale() {
    Locale.setDefault(locale);
  }

  private static FineTuneConfig config(Mode mode, int steps) {
    return FineTuneConfig.builder(mode, steps)
        .alignedLayers(List.of(16, 2))
        .projector(ProjectorConfig.of(4, 4, 4))
        .build();
  }

  private static StepEvent event(int step, int total, double secondsPerStep, int skipped) {
    Map<Integer, Double> cosine = new TreeMap<>(Map.of(2, 0.25, 16, 0.5));
    return new StepEvent(
        step,
        total,
        1234.5,
        OptionalDouble.of(-0.75),
        1234.35,
        cosine,
        0.1,
        5e-4,
        skipped,
        skipped * 7L,
        Map.of("token_accuracy", 0.125),
        secondsPerStep,
        8 / secondsPerStep);
  }

  private static final Evaluation EVALUATION =
      new Evaluation(
          50, 3, 0.5, OptionalDouble.empty(), Map.of(), Map.of("token_accuracy", 0.25), 1.5);

  private static FineTuneResult result(End end, int steps, int skipped, double seconds) {
    return new FineTuneResult(end, steps, skipped, seconds, Optional.empty(), List.of());
  }

  @Test
  void redrawsOneLineOnATerminal() {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    ProgressBar bar = new ProgressBar(new PrintStream(bytes, true, StandardCharsets.UTF_8), true);
    bar.begin(config(Mode.ALIGN, 100), 878, 110_828_288);
    bar.step(event(1, 100, 0.25, 0));
    bar.step(event(50, 100, 0.25, 2));
    bar.evaluation(EVALUATION);
    bar.step(event(100, 100, 0.25, 0));
    bar.end(result(End.COMPLETED, 100, 2, 25));
    String newline = System.lineSeparator();
    assertEquals(
        "align: 110,828,288 parameters in 878 tensors, 100 steps"
            + newline
            + CLEAR
            + "align  [>                   ]  1/100  loss 1234.3500  cos 0.375  4.0 it/s  ETA 0:25"
            + CLEAR
            + "align  [==========>         ]  50/100  loss 1234.3500  cos 0.375  2 skipped, not"
            + " finite  4.0 it/s  ETA 0:13"
            + CLEAR
            + "align  evaluation at step 50  action loss 0.5000  token_accuracy 0.2500"
            + newline
            + CLEAR
            + "align  [====================]  100/100  loss 1234.3500  cos 0.375  4.0 it/s  ETA"
            + " 0:00"
            + newline
            + "align: done after 100 steps in 0:25, 2 of them skipped: gradients not finite"
            + newline,
        bytes.toString(StandardCharsets.UTF_8));
  }

  @Test
  void printsSomeTwentyPlainLinesElsewhere() {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    ProgressBar bar = new ProgressBar(new PrintStream(bytes, true, StandardCharsets.UTF_8), false);
    bar.begin(config(Mode.FREEZE, 101), 2, 1500);
    for (int step = 1; step <= 101; step++) {
      bar.step(event(step, 101, 60, 0));
    }
    bar.end(result(End.INTERRUPTED, 101, 0, 3725.4));
    List<String> lines = bytes.toString(StandardCharsets.UTF_8).lines().toList();
    assertEquals("freeze: 1,500 parameters in 2 tensors, 101 steps", lines.get(0));
    assertEquals("freeze  1/101  loss 1234.3500  cos 0.375  60.0 s/it  ETA 1:40:00", lines.get(1));
    assertEquals("freeze  6/101  loss 1234.3500  cos 0.375  60.0 s/it  ETA 1:35:00", lines.get(2));
    assertEquals("freeze  101/101  loss 1234.3500  cos 0.375  60.0 s/it  ETA 0:00", lines.get(21));
    assertEquals("freeze: interrupted after 101 steps in 1:02:05", lines.get(22));
    assertEquals(23, lines.size());
    assertFalse(bytes.toString(StandardCharsets.UTF_8).contains("\u001b"));
  }

  @Test
  void smoothsTheSpeed() {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    ProgressBar bar = new ProgressBar(new PrintStream(bytes, true, StandardCharsets.UTF_8), false);
    bar.begin(config(Mode.DEFAULT, 3), 1, 1);
    bar.step(event(1, 3, 2, 0));
    bar.step(event(2, 3, 12, 0));
    List<String> lines = bytes.toString(StandardCharsets.UTF_8).lines().toList();
    assertEquals("default  1/3  loss 1234.3500  cos 0.375  2.0 s/it  ETA 0:04", lines.get(1));
    // 0.9 · 2 + 0.1 · 12
    assertEquals("default  2/3  loss 1234.3500  cos 0.375  3.0 s/it  ETA 0:03", lines.get(2));
  }

  @Test
  void aFailureLeavesTheLine() {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    ProgressBar bar = new ProgressBar(new PrintStream(bytes, true, StandardCharsets.UTF_8), true);
    bar.begin(config(Mode.DEFAULT, 3), 1, 1);
    bar.step(event(1, 3, 2, 0));
    bar.failure(new IllegalStateException("x"));
    String text = bytes.toString(StandardCharsets.UTF_8);
    assertEquals(System.lineSeparator(), text.substring(text.indexOf("ETA 0:04") + 8));
  }

  @Test
  void noConsoleAndDumbTerminalsAreNoTerminals() {
    assertFalse(ProgressBar.isTerminal(null, "xterm"));
    // Under the test runner standard input and output are pipes, on any JDK.
    assertFalse(ProgressBar.isTerminal(System.console(), "xterm"));
  }

  @Test
  void writesCsvThatReadsBack() throws IOException {
    Path file = folder.resolve("run.csv");
    Map<String, Double> metrics = new LinkedHashMap<>();
    metrics.put("token_accuracy", 1.0 / 3);
    metrics.put("a \"b\", c", Double.MIN_VALUE);
    try (CsvLog log = new CsvLog(file)) {
      log.begin(config(Mode.ALIGN, 2), 1, 1);
      log.step(
          new StepEvent(
              1,
              2,
              0.1,
              OptionalDouble.of(-0.3),
              0.04,
              new TreeMap<>(Map.of(2, 0.25, 16, 1e-9)),
              1e20,
              0.25,
              0,
              0,
              metrics,
              0.5,
              16));
      // Flushed per row: what a crash would leave.
      assertEquals(2, Files.readAllLines(file).size());
      log.step(
          new StepEvent(
              2,
              2,
              Double.NaN,
              OptionalDouble.empty(),
              1,
              Map.of(),
              Double.POSITIVE_INFINITY,
              5e-4,
              1,
              3_000_000_000L,
              metrics,
              0.5,
              Double.NaN));
      log.evaluation(
          new Evaluation(2, 1, 0.7, OptionalDouble.of(-0.5), Map.of(2, 0.5, 16, 0.5), metrics, 1));
    }
    String header =
        "phase,step,action_loss,alignment_loss,total_loss,cosine_2,cosine_16,grad_norm,"
            + "learning_rate,skipped_steps,non_finite,token_accuracy,"
            + "\"a \"\"b\"\", c\"\r\n";
    assertEquals(
        header
            + "train,1,0.1,-0.3,0.04,0.25,1.0E-9,1.0E20,0.25,0,0,0.3333333333333333,4.9E-324\r\n"
            + "train,2,NaN,,1.0,,,Infinity,5.0E-4,1,3000000000,0.3333333333333333,4.9E-324\r\n"
            + "evaluation,2,0.7,-0.5,,0.5,0.5,,,,,0.3333333333333333,4.9E-324\r\n",
        Files.readString(file));
    List<List<String>> rows = parse(Files.readString(file));
    assertEquals(4, rows.size());
    assertEquals("a \"b\", c", rows.get(0).get(12));
    assertEquals(1.0 / 3, Double.parseDouble(rows.get(1).get(11)));
    assertEquals(Double.MIN_VALUE, Double.parseDouble(rows.get(1).get(12)));
    rows.forEach(row -> assertEquals(13, row.size()));
  }

  /** RFC 4180, as any reader of it would. */
  private static List<List<String>> parse(String csv) {
    List<List<String>> rows = new ArrayList<>();
    List<String> row = new ArrayList<>();
    StringBuilder field = new StringBuilder();
    boolean quoted = false;
    for (int i = 0; i < csv.length(); i++) {
      char c = csv.charAt(i);
      if (quoted && c == '"' && i + 1 < csv.length() && csv.charAt(i + 1) == '"') {
        field.append(csv.charAt(++i));
      } else if (c == '"') {
        quoted = !quoted;
      } else if (!quoted && (c == ',' || c == '\r')) {
        row.add(field.toString());
        field.setLength(0);
        if (c == '\r') {
          rows.add(row);
          row = new ArrayList<>();
          i++;
        }
      } else {
        field.append(c);
      }
    }
    return rows;
  }

  @Test
  void csvRefusesColumnsThatWereNotInTheHeader() throws IOException {
    try (CsvLog log = new CsvLog(folder.resolve("columns.csv"))) {
      log.begin(config(Mode.ALIGN, 2), 1, 1);
      log.step(event(1, 2, 1, 0));
      Evaluation other =
          new Evaluation(1, 1, 0, OptionalDouble.empty(), Map.of(), Map.of("new", 1.0), 1);
      String message =
          assertThrows(IllegalStateException.class, () -> log.evaluation(other)).getMessage();
      assertEquals(
          "CSV row must keep to the columns [phase, step, action_loss, alignment_loss, total_loss,"
              + " cosine_2, cosine_16, grad_norm, learning_rate, skipped_steps, non_finite,"
              + " token_accuracy], found [phase, step, action_loss, new]",
          message);
    }
    try (CsvLog log = new CsvLog(folder.resolve("clash.csv"))) {
      log.begin(config(Mode.ALIGN, 2), 1, 1);
      Evaluation clash =
          new Evaluation(1, 1, 0, OptionalDouble.empty(), Map.of(), Map.of("grad_norm", 1.0), 1);
      assertEquals(
          "metric must not be named as a column of the log, found grad_norm",
          assertThrows(IllegalStateException.class, () -> log.evaluation(clash)).getMessage());
    }
  }

  @Test
  void csvReportsAFullDisk() throws IOException {
    Path full = Path.of("/dev/full");
    assumeTrue(Files.exists(full), "no /dev/full on this system");
    try (CsvLog log = new CsvLog(full)) {
      log.begin(config(Mode.ALIGN, 2), 1, 1);
      assertEquals(
          "/dev/full: No space left on device",
          assertThrows(UncheckedIOException.class, () -> log.step(event(1, 2, 1, 0))).getMessage());
    }
  }

  @Test
  void timesHaveAFileOfTheirOwn() throws IOException {
    Path file = folder.resolve("timing.csv");
    try (TimingLog log = new TimingLog(file)) {
      log.begin(config(Mode.ALIGN, 2), 1, 1);
      log.step(event(1, 2, 0.5, 0));
      log.evaluation(EVALUATION);
    }
    assertEquals(
        "phase,step,seconds_per_step,samples_per_second,seconds\r\n"
            + "train,1,0.5,16.0,\r\n"
            + "evaluation,50,,,1.5\r\n",
        Files.readString(file));
  }

  /** A killed run leaves rows behind that its successor writes again. */
  @Test
  void aRestoredLogIsCutBackToItsCheckpoint() throws IOException {
    Path file = folder.resolve("log.csv");
    Checkpointable.State state;
    String whole;
    try (CsvLog log = new CsvLog(file)) {
      log.begin(config(Mode.ALIGN, 3), 1, 1);
      log.step(event(1, 3, 1, 0));
      state = log.state();
      log.step(event(2, 3, 1, 0));
      whole = Files.readString(file);
      log.step(event(3, 3, 1, 1));
    }
    try (CsvLog log = new CsvLog(file)) {
      log.restore(state);
      log.begin(config(Mode.ALIGN, 3), 1, 1);
      log.step(event(2, 3, 1, 0));
    }
    assertEquals(whole, Files.readString(file));
    Files.writeString(file, "lost");
    try (CsvLog log = new CsvLog(file)) {
      String message =
          assertThrows(IllegalArgumentException.class, () -> log.restore(state)).getMessage();
      assertTrue(message.startsWith(file + ": found 4 bytes, expected the "), message);
    }
    try (CsvLog log = new CsvLog(file)) {
      log.begin(config(Mode.ALIGN, 3), 1, 1);
      log.begin(config(Mode.ALIGN, 3), 1, 1);
      assertEquals("", Files.readString(file), "a new run empties the file");
      log.step(event(1, 3, 1, 0));
      log.begin(config(Mode.ALIGN, 3), 1, 1);
    }
    assertEquals(2, Files.readAllLines(file).size(), "going on does not");
  }
}
