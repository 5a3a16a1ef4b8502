package org.sightline.vla.cli;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import javax.imageio.ImageIO;
import org.sightline.formats.AtomicFile;
import org.sightline.vla.cli.RunHistory.Row;

/**
 * A job as one HTML file without anything beside it: results and logs with all their digits,
 * pictures, settings, and what it ran on.
 */
final class RunReport {
  /** Rows of a training table; a log may have tens of thousands. */
  private static final int TRAINING_ROWS = 500;

  private static final String STYLE =
      """
      body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1100px; padding: 0 1em; }
      table { border-collapse: collapse; margin: 1em 0; }
      th, td { border-bottom: 1px solid #ccc; padding: .2em .8em; text-align: left; }
      td.n { font-variant-numeric: tabular-nums; text-align: right; }
      .wide { overflow-x: auto; }
      img { max-width: 100%; }
      """;

  private final StringBuilder html = new StringBuilder();

  private RunReport() {}

  /**
   * Writes the report.
   *
   * @param run what {@link RunFile} holds
   * @param note a sentence on where the numbers come from, or null
   */
  static void write(Path file, JsonObject run, List<ModeResult> results, String note)
      throws IOException {
    RunReport report = new RunReport();
    report.page(run, results, note);
    AtomicFile.writeText(file, report.html.toString());
  }

  private void page(JsonObject run, List<ModeResult> results, String note) throws IOException {
    html.append("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.append("<title>Sightline run</title>\n<style>\n").append(STYLE);
    html.append("</style>\n</head>\n<body>\n<h1>Sightline run</h1>\n");
    if (note != null) {
      html.append("<p>").append(escape(note)).append("</p>\n");
    }
    html.append("<h2>Results</h2>\n");
    results(results);
    for (Map.Entry<String, BufferedImage> chart : RunPlot.charts(results).entrySet()) {
      picture(chart.getKey(), chart.getValue());
    }
    for (ModeResult result : results) {
      html.append("<h2>Mode ").append(escape(result.name())).append("</h2>\n");
      html.append("<h3>Evaluations (held out)</h3>\n");
      rows(result.history().evaluations());
      html.append("<h3>Training</h3>\n<details><summary>");
      List<Row> training = thinned(result.history().training());
      html.append(training.size()).append(" of ").append(result.history().training().size());
      html.append(" rows; ").append(escape(result.name())).append("/log.csv has all</summary>\n");
      rows(training);
      html.append("</details>\n");
    }
    html.append("<h2>Settings</h2>\n");
    object(run.getAsJsonObject("options"));
    html.append("<h2>Where and when</h2>\n");
    object(run.getAsJsonObject("started"));
    for (JsonElement resumed : run.getAsJsonArray("resumed")) {
      html.append("<h3>Resumed</h3>\n");
      object(resumed.getAsJsonObject());
    }
    html.append("</body>\n</html>\n");
  }

  private void results(List<ModeResult> results) {
    List<String> columns =
        List.of("action_loss", "token_accuracy", "action_l1", "alignment_loss", "cosine");
    begin(
        List.of(
            "mode", "end", "steps", "skipped", "seconds", "seconds per step", "held out", "step"),
        columns);
    for (ModeResult result : results) {
      ModeResult.Summary summary = result.summary();
      String end = summary.note() == null ? summary.end() : summary.end() + ": " + summary.note();
      for (Row row : List.of(result.before(), result.after())) {
        html.append("<tr>");
        cell(result.name());
        cell(end);
        number(summary.steps());
        number(summary.skippedSteps());
        number(summary.seconds());
        number(result.secondsPerStep());
        cell(row == result.before() ? "before" : "after");
        number(row.step());
        for (String column : columns) {
          double value = column.equals("cosine") ? row.cosine() : row.get(column);
          number(Double.isNaN(value) ? "" : value);
        }
        html.append("</tr>\n");
      }
    }
    end();
  }

  private void rows(List<Row> rows) {
    Set<String> columns = new LinkedHashSet<>();
    rows.forEach(row -> columns.addAll(row.values().keySet()));
    begin(List.of("step"), columns);
    for (Row row : rows) {
      html.append("<tr>");
      number(row.step());
      for (String column : columns) {
        Double value = row.values().get(column);
        number(value == null ? "" : value);
      }
      html.append("</tr>\n");
    }
    end();
  }

  /** Evenly spaced rows, the last among them. */
  private static List<Row> thinned(List<Row> rows) {
    if (rows.size() <= TRAINING_ROWS) {
      return rows;
    }
    List<Row> some = new ArrayList<>();
    for (int i = 1; i <= TRAINING_ROWS; i++) {
      some.add(rows.get((int) ((long) i * rows.size() / TRAINING_ROWS) - 1));
    }
    return some;
  }

  private void picture(String title, BufferedImage image) throws IOException {
    ByteArrayOutputStream png = new ByteArrayOutputStream();
    ImageIO.write(image, "png", png);
    html.append("<img alt=\"").append(escape(title)).append("\" src=\"data:image/png;base64,");
    html.append(Base64.getEncoder().encodeToString(png.toByteArray())).append("\">\n");
  }

  /** Keys and values; objects within become sections of the table. */
  private void object(JsonObject object) {
    begin(List.of("", ""), List.of());
    object("", object);
    end();
  }

  private void object(String prefix, JsonObject object) {
    for (Map.Entry<String, JsonElement> entry : object.entrySet()) {
      if (entry.getValue() instanceof JsonObject inner) {
        object(prefix + entry.getKey() + ": ", inner);
      } else {
        html.append("<tr>");
        cell(prefix + entry.getKey());
        JsonElement value = entry.getValue();
        cell(value.isJsonPrimitive() ? value.getAsString() : value.toString());
        html.append("</tr>\n");
      }
    }
  }

  private void begin(List<String> first, Iterable<String> then) {
    html.append("<div class=\"wide\"><table>\n<tr>");
    first.forEach(name -> html.append("<th>").append(escape(name)).append("</th>"));
    then.forEach(name -> html.append("<th>").append(escape(name)).append("</th>"));
    html.append("</tr>\n");
  }

  private void end() {
    html.append("</table></div>\n");
  }

  private void cell(String text) {
    html.append("<td>").append(escape(text)).append("</td>");
  }

  /** With all digits, so that reading it back gives the same bits. */
  private void number(Object value) {
    html.append("<td class=\"n\">").append(value).append("</td>");
  }

  static String escape(String text) {
    return text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("\"", "&quot;");
  }
}
