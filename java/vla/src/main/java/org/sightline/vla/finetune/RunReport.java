package org.sightline.vla.finetune;

import static java.util.stream.Collectors.joining;

import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.function.ToDoubleFunction;
import org.sightline.formats.Printable;
import org.sightline.formats.file.AtomicFile;
import org.sightline.vla.data.rlds.Step;
import org.sightline.vla.finetune.ExampleFrames.Frame;
import org.sightline.vla.finetune.RunHistory.Row;

/**
 * A job as one HTML file that loads nothing: results, curves, frames, logs, settings, and what it
 * ran on. Without scripts all but the curves is there; these need uPlot on the class path, {@code
 * org.webjars.npm:uplot}.
 */
public final class RunReport {
  /** Rows of a training table. */
  private static final int TRAINING_ROWS = 500;

  /** Where uPlot's webjar keeps its files, but for the version. */
  private static final String UPLOT = "/META-INF/resources/webjars/uplot/";

  private final Html html = new Html();
  private final List<ModeResult> results;
  private final List<String> modes;

  private RunReport(List<ModeResult> results) {
    this.results = results;
    this.modes = results.stream().map(ModeResult::name).toList();
  }

  /**
   * Writes {@code report.html} into a run's folder.
   *
   * @param results of the modes that have ended
   * @param note a sentence on where the numbers come from, or null
   */
  public static void write(Path folder, List<ModeResult> results, String note) throws IOException {
    RunReport report = new RunReport(results);
    report.page(RunFile.read(folder), note, folder.toAbsolutePath());
    AtomicFile.writeText(folder.resolve("report.html"), report.html.toString());
  }

  private void page(JsonObject run, String note, Path folder) throws IOException {
    Optional<String> uplot = uplotVersion().map(version -> UPLOT + version);
    html.begin(
        "Sightline run " + folder.getFileName(),
        uplot.isPresent() ? Html.resource(uplot.get() + "/dist/uPlot.min.css") : "");
    html.element("h1", "Sightline run " + folder.getFileName());
    if (note != null) {
      html.element("p", note);
    }
    html.element("h2", "Results");
    results();
    if (uplot.isPresent()) {
      html.element("h2", "Curves");
      curves(uplot.get());
    }
    html.element("h2", "Frames");
    frames(folder);
    for (ModeResult result : results) {
      logs(result);
    }
    html.element("h2", "Settings");
    object(run.getAsJsonObject("options"));
    html.element("h2", "Where and when");
    object(run.getAsJsonObject("started"));
    for (JsonElement resumed : run.getAsJsonArray("resumed")) {
      html.element("h3", "Resumed");
      object(resumed.getAsJsonObject());
    }
    html.end();
  }

  /** A column a mode: the table holds on a phone, too. */
  private void results() {
    List<String> headings = new ArrayList<>(List.of(""));
    headings.addAll(modes);
    html.table(headings);
    html.row("end", results.stream().map(result -> result.summary().end()).toList());
    if (results.stream().anyMatch(result -> result.summary().note() != null)) {
      html.row("why", results.stream().map(RunReport::note).toList());
    }
    figures("steps", result -> result.summary().steps());
    figures("of them skipped", result -> result.summary().skippedSteps());
    figures("seconds", result -> result.summary().seconds());
    figures("seconds per step", ModeResult::secondsPerStep);
    change("action loss, held out", row -> row.get("action_loss"));
    figures("lowest action loss, held out", result -> result.best().get("action_loss"));
    figures("its step, whose adapter is in best/", result -> result.best().step());
    change("token accuracy, held out", row -> row.get("token_accuracy"));
    change("action L1 in [-1,1], held out", row -> row.get("action_l1"));
    if (results.stream().anyMatch(result -> !result.history().cosineColumns().isEmpty())) {
      change("alignment cosine, held out", Row::cosine);
    }
    html.endTable();
  }

  private static String note(ModeResult result) {
    return result.summary().note() == null ? "" : result.summary().note();
  }

  private void figures(String name, ToDoubleFunction<ModeResult> value) {
    html.row(name, Figures.column(results.stream().mapToDouble(value).boxed().toList()));
  }

  /** From before the first step to after the last. */
  private void change(String name, ToDoubleFunction<Row> value) {
    List<Double> values = new ArrayList<>();
    for (ModeResult result : results) {
      values.add(value.applyAsDouble(result.before()));
      values.add(value.applyAsDouble(result.after()));
    }
    List<String> figures = Figures.column(values);
    List<String> cells = new ArrayList<>();
    for (int i = 0; i < figures.size(); i += 2) {
      cells.add(figures.get(i) + " → " + figures.get(i + 1));
    }
    html.row(name, cells);
  }

  private void curves(String uplot) throws IOException {
    html.raw("<noscript><p>The curves are drawn by a script, which this browser does not run; the");
    html.raw(" tables below hold their numbers.</p></noscript>\n<div id=\"curves\"></div>\n");
    // Gson writes no "<", so that nothing in it ends the element.
    html.raw("<script type=\"application/json\" id=\"curves-data\">");
    html.raw(Printable.lines(new Gson().toJson(RunCurves.of(results))))
        .raw("</script>\n<script>\n/*\n");
    html.raw(Html.resource(uplot + "/LICENSE"))
        .raw("\n*/\n")
        .raw(Html.resource(uplot + "/dist/uPlot.iife.min.js"));
    html.raw("\n").raw(Html.resource("report.js")).raw("</script>\n");
  }

  private void frames(Path folder) throws IOException {
    List<List<Frame>> byMode = new ArrayList<>();
    Set<String> seen = new LinkedHashSet<>();
    for (String mode : modes) {
      byMode.add(ExampleFrames.read(folder.resolve(mode)));
    }
    html.raw("<p>Recorded actions, and those that the model takes with the adapter of the last");
    html.raw(" step, in the data's units (metres, radians, gripper).</p>\n<div id=\"frames\">\n");
    for (Frame frame : byMode.stream().flatMap(List::stream).toList()) {
      if (seen.add(frame.dataset() + "/" + frame.episode() + "/" + frame.step())) {
        figure(frame, byMode);
      }
    }
    html.raw("</div>\n");
  }

  private void figure(Frame frame, List<List<Frame>> byMode) {
    html.raw("<figure><figcaption><b>").raw(Html.escape(frame.instruction())).raw("</b><br>");
    html.raw(frame.heldOut() ? "held out: " : "trained on: ").raw(Html.escape(frame.dataset()));
    html.raw(", episode " + frame.episode() + ", step " + frame.step() + "</figcaption>\n");
    html.raw("<img alt=\"what the camera saw\" src=\"data:image/jpeg;base64,");
    html.raw(Html.escape(frame.jpeg())).raw("\">\n");
    List<String> headings = new ArrayList<>(List.of("", "recorded"));
    List<List<String>> columns = new ArrayList<>(List.of(frame.recorded()));
    for (int mode = 0; mode < modes.size(); mode++) {
      for (Frame other : byMode.get(mode)) {
        if (other.isOf(frame)) {
          headings.add(modes.get(mode));
          columns.add(other.predicted());
        }
      }
    }
    html.table(headings);
    for (int d = 0; d < Step.ACTION_SIZE; d++) {
      int dimension = d;
      List<String> cells = columns.stream().map(column -> column.get(dimension)).toList();
      html.row(Step.ACTION_NAMES.get(d), cells);
    }
    html.endTable().raw("</figure>\n");
  }

  private void logs(ModeResult result) {
    html.element("h2", "Mode " + result.name());
    html.element("h3", "Evaluations (held out)");
    rows(result.history().evaluations());
    html.element("h3", "Training");
    List<Row> all = result.history().training();
    List<Row> training = RunHistory.thinned(all, TRAINING_ROWS);
    html.raw("<details>");
    html.element(
        "summary",
        String.format(
            Locale.ROOT,
            "%d of %d rows; %s/log.csv has all, with all digits",
            training.size(),
            all.size(),
            result.name()));
    rows(training);
    html.raw("</details>\n");
  }

  private void rows(List<Row> rows) {
    Set<String> columns = new LinkedHashSet<>();
    rows.forEach(row -> columns.addAll(row.values().keySet()));
    List<String> headings = new ArrayList<>(List.of("step"));
    columns.forEach(column -> headings.add(column.replace('_', ' ')));
    List<List<String>> figures = new ArrayList<>();
    for (String column : columns) {
      List<Double> values = rows.stream().map(row -> row.values().get(column)).toList();
      boolean small = column.equals("learning_rate");
      figures.add(small ? Figures.column(values, Figures.MOST_DECIMALS) : Figures.column(values));
    }
    html.table(headings);
    for (int i = 0; i < rows.size(); i++) {
      int at = i;
      List<String> cells = figures.stream().map(column -> column.get(at)).toList();
      html.row(String.valueOf(rows.get(i).step()), cells);
    }
    html.endTable();
  }

  /** Keys and values; objects within become sections of the table. */
  private void object(JsonObject object) {
    html.raw("<div class=\"text\">").table(List.of());
    object("", object);
    html.endTable().raw("</div>\n");
  }

  private void object(String prefix, JsonObject object) {
    for (Map.Entry<String, JsonElement> entry : object.entrySet()) {
      JsonElement value = entry.getValue();
      if (value instanceof JsonObject inner) {
        object(prefix + entry.getKey() + ": ", inner);
      } else {
        html.row(prefix + entry.getKey(), List.of(text(value)));
      }
    }
  }

  /** A list has spaces between its items, as the command line would. */
  private static String text(JsonElement value) {
    if (value instanceof JsonArray items) {
      return items.asList().stream().map(RunReport::text).collect(joining(" "));
    }
    return value.isJsonPrimitive() ? value.getAsString() : value.toString();
  }

  /** The version of uPlot that is on the class path; empty: it is not there. */
  private static Optional<String> uplotVersion() throws IOException {
    try (InputStream in =
        RunReport.class.getResourceAsStream(
            "/META-INF/maven/org.webjars.npm/uplot/pom.properties")) {
      if (in == null) {
        return Optional.empty();
      }
      Properties pom = new Properties();
      pom.load(in);
      return Optional.of(pom.getProperty("version"));
    }
  }
}
