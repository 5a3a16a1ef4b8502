package org.sightline.vla.finetune;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.json.JsonFields;
import org.sightline.train.FineTuneResult;
import org.sightline.train.Mode;
import org.sightline.vla.finetune.RunHistory.Row;

/** One mode's run: how it ended, and everything it logged. */
public record ModeResult(Mode mode, Summary summary, RunHistory history) {
  private static final String NAME = "result.json";
  private static final Gson GSON =
      new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().create();

  /**
   * {@code result.json}; its being there says that the mode is done.
   *
   * @param end as in {@link FineTuneResult.End}
   * @param steps optimizer steps, those skipped included
   * @param seconds spent in training steps
   * @param note why it ended early, or null
   */
  public record Summary(String end, int steps, int skippedSteps, double seconds, String note) {}

  /** The result that a mode left in its folder; empty if it has not ended. */
  public static Optional<ModeResult> read(Mode mode, Path folder) throws IOException {
    Optional<Summary> summary = summary(folder);
    if (summary.isEmpty()) {
      return Optional.empty();
    }
    ModeResult result = new ModeResult(mode, summary.get(), RunHistory.read(folder));
    List<Row> evaluations = result.history.evaluations();
    int steps = result.summary.steps();
    // In a log cut short an earlier one would pass for the result.
    if (evaluations.isEmpty() || result.after().step() != steps) {
      throw new FormatException(
          folder.resolve(RunHistory.LOG),
          "rows",
          evaluations.isEmpty()
              ? "no evaluation"
              : "the last evaluation at step " + result.after().step(),
          "one at step %s, where %s says that the mode ended".formatted(steps, NAME));
    }
    return Optional.of(result);
  }

  /** How a mode ended, whatever became of its logs; empty if it has not. */
  static Optional<Summary> summary(Path folder) throws IOException {
    Path file = folder.resolve(NAME);
    if (!InputFile.exists(file)) {
      return Optional.empty();
    }
    JsonFields json = JsonFields.read(file);
    return Optional.of(
        new Summary(
            json.text("end"),
            json.integer("steps"),
            json.integer("skippedSteps"),
            json.number("seconds"),
            json.text("note", null)));
  }

  /** Leaves the result in the mode's folder, the last thing to be written there. */
  static void write(Path folder, FineTuneResult result, Optional<String> note) throws IOException {
    Summary summary =
        new Summary(
            result.end().name().toLowerCase(Locale.ROOT),
            result.steps(),
            result.skippedSteps(),
            result.seconds(),
            note.orElse(null));
    AtomicFile.writeText(folder.resolve(NAME), GSON.toJson(summary) + "\n");
  }

  /** A mode that is to begin anew, or to go on, is not done. */
  static void delete(Path folder) throws IOException {
    Files.deleteIfExists(folder.resolve(NAME));
  }

  String name() {
    return mode.name().toLowerCase(Locale.ROOT);
  }

  /** Evaluation of the untrained adapters. */
  Row before() {
    return history.evaluations().get(0);
  }

  /** Evaluation at the end. */
  Row after() {
    return history.evaluations().get(history.evaluations().size() - 1);
  }

  /** The evaluation with the lowest action loss, of which {@link BestAdapter} keeps the adapter. */
  Row best() {
    return RunHistory.best(history.evaluations()).orElseThrow();
  }

  double secondsPerStep() {
    return summary.seconds() / Math.max(1, summary.steps());
  }
}
