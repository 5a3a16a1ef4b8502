package org.sightline.vla.cli;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.ToNumberPolicy;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.json.JsonFields;
import org.sightline.train.Mode;
import org.sightline.train.checkpoint.CheckpointStore;
import org.sightline.vla.finetune.FineTuneJob;
import org.sightline.vla.finetune.ModeResult;
import org.sightline.vla.finetune.RunFile;
import org.sightline.vla.finetune.RunHistory;
import org.sightline.vla.finetune.RunHistory.Row;

/**
 * A run of {@code finetune}, ended or not: what it was asked for, what it runs on, and how far each
 * mode got. The same for {@code inspect} and for {@code finetune --json}:
 *
 * <pre>
 * kind, path       "run", its folder
 * base_model       folder or files it started from
 * settings         every option with its value
 * contents         digests of weights, tokenizer, teacher and each dataset
 * started          time and arguments; versions, Sightline's commit among them; hardware and threads
 * resumed          the same for each time the run was taken up again, and what was changed
 * modes            for each mode
 *   mode, end      name; completed, stopped, …, or unfinished
 *   steps          optimizer steps done
 *   last_*, best_* step, action_loss, token_accuracy and action_l1 of the last evaluation and of
 *                  the one with the lowest action loss, on held-out episodes
 *   checkpoints    steps to go on from
 *   adapter, best_adapter   PEFT folders, once they are there
 * </pre>
 */
final class RunInspection {
  private static final List<String> METRICS = List.of("action_loss", "token_accuracy", "action_l1");

  private RunInspection() {}

  /** Reads a run's folder, which may be written to meanwhile. */
  static Inspection of(Path folder) throws IOException {
    JsonFields run = JsonFields.read(folder.resolve(RunFile.NAME));
    JsonFields options = run.object("options");
    Map<String, Object> facts = new LinkedHashMap<>();
    facts.put("kind", "run");
    facts.put("path", folder.toString());
    facts.put(
        "base_model",
        options.has("weights")
            ? options.strings("weights")
            : List.of(folder.resolve(FineTuneJob.BASE).toString()));
    facts.put("settings", plain(options.json()));
    for (String part : List.of(RunFile.CONTENTS, "started", "resumed")) {
      facts.put(part, plain(run.json().get(part)));
    }
    List<Map<String, Object>> modes = new ArrayList<>();
    List<String> names = Arrays.stream(Mode.values()).map(RunInspection::name).toList();
    for (String mode : options.strings("modes")) {
      if (!names.contains(mode)) {
        throw options.wrong("modes", "of " + names);
      }
      modes.add(mode(folder.resolve(mode), Mode.values()[names.indexOf(mode)]));
    }
    return new Inspection(facts, "modes", modes);
  }

  private static String name(Mode mode) {
    return mode.name().toLowerCase(Locale.ROOT);
  }

  /** Whole numbers stay whole. */
  private static Object plain(JsonElement json) {
    return new GsonBuilder()
        .setObjectToNumberStrategy(ToNumberPolicy.LONG_OR_DOUBLE)
        .create()
        .fromJson(json, Object.class);
  }

  private static Map<String, Object> mode(Path folder, Mode mode) throws IOException {
    Optional<ModeResult> result = ModeResult.read(mode, folder);
    List<Integer> checkpoints = new CheckpointStore(folder.resolve(RunFile.CHECKPOINTS), 1).steps();
    List<Row> evaluations =
        InputFile.exists(folder.resolve(RunHistory.LOG))
            ? RunHistory.read(folder).evaluations()
            : List.of();
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("mode", folder.getFileName().toString());
    row.put("end", result.map(r -> r.summary().end()).orElse("unfinished"));
    int reached = checkpoints.isEmpty() ? 0 : checkpoints.get(checkpoints.size() - 1);
    row.put("steps", result.map(r -> r.summary().steps()).orElse(reached));
    put(row, "last", evaluations.stream().reduce((first, second) -> second));
    put(row, "best", RunHistory.best(evaluations));
    row.put("checkpoints", checkpoints);
    row.put("adapter", adapter(folder));
    row.put("best_adapter", adapter(folder.resolve(RunFile.BEST)));
    return row;
  }

  private static void put(Map<String, Object> row, String which, Optional<Row> evaluation) {
    row.put(which + "_step", evaluation.map(Row::step).orElse(null));
    for (String metric : METRICS) {
      row.put(which + "_" + metric, evaluation.map(e -> e.values().get(metric)).orElse(null));
    }
  }

  private static String adapter(Path folder) {
    return InputFile.exists(folder.resolve("adapter_config.json")) ? folder.toString() : null;
  }
}
