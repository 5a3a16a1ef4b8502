package org.sightline.train;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * Writes a run as CSV (RFC 4180, UTF-8): a row for every step event and evaluation, flushed as it
 * is written. Columns:
 *
 * <pre>
 * phase                train or evaluation
 * step                 optimizer steps done
 * action_loss, alignment_loss, total_loss
 * cosine_&lt;layer&gt;       for every aligned layer of the configuration
 * grad_norm, skipped_steps, non_finite, seconds_per_step, samples_per_second
 * then the policy's metrics by their own names
 * </pre>
 *
 * <p>A value that does not exist in a row's phase or mode is an empty field. Numbers are written as
 * {@link Double#toString} does, in any locale, so that reading them back gives the same bits.
 */
public final class CsvLog implements TrainingListener, AutoCloseable {
  private final Writer out;
  private FineTuneConfig config;
  private Set<String> columns;

  /**
   * Creates the file, or empties it.
   *
   * @throws IOException if it cannot be written
   */
  public CsvLog(Path file) throws IOException {
    this(Files.newBufferedWriter(file, StandardCharsets.UTF_8));
  }

  CsvLog(Writer out) {
    this.out = out;
  }

  @Override
  public void begin(FineTuneConfig config, int trainedTensors, long trainedParameters) {
    this.config = config;
  }

  @Override
  public void step(StepEvent event) {
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("phase", "train");
    row.put("step", event.step());
    row.put("action_loss", event.actionLoss());
    event.alignmentLoss().ifPresent(loss -> row.put("alignment_loss", loss));
    row.put("total_loss", event.totalLoss());
    event.cosine().forEach((layer, cosine) -> row.put("cosine_" + layer, cosine));
    row.put("grad_norm", event.gradNorm());
    row.put("skipped_steps", event.skippedSteps());
    row.put("non_finite", event.nonFinite());
    row.put("seconds_per_step", event.secondsPerStep());
    if (!Double.isNaN(event.samplesPerSecond())) {
      row.put("samples_per_second", event.samplesPerSecond());
    }
    write(row, event.metrics());
  }

  @Override
  public void evaluation(Evaluation evaluation) {
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("phase", "evaluation");
    row.put("step", evaluation.step());
    row.put("action_loss", evaluation.actionLoss());
    evaluation.alignmentLoss().ifPresent(loss -> row.put("alignment_loss", loss));
    evaluation.cosine().forEach((layer, cosine) -> row.put("cosine_" + layer, cosine));
    write(row, evaluation.metrics());
  }

  private void write(Map<String, Object> row, Map<String, Double> metrics) {
    row.putAll(metrics);
    if (columns == null) {
      columns = columns(metrics.keySet());
      writeLine(columns.stream().map(CsvLog::quote).collect(Collectors.joining(",")));
    }
    if (!columns.containsAll(row.keySet())) {
      throw new IllegalStateException(
          "CSV row must keep to the columns " + columns + ", found " + row.keySet());
    }
    writeLine(
        columns.stream()
            .map(column -> quote(row.containsKey(column) ? row.get(column).toString() : ""))
            .collect(Collectors.joining(",")));
  }

  private Set<String> columns(Set<String> metrics) {
    Set<String> all = new LinkedHashSet<>();
    all.add("phase");
    all.add("step");
    all.add("action_loss");
    all.add("alignment_loss");
    all.add("total_loss");
    config.alignedLayers().stream().sorted().forEach(layer -> all.add("cosine_" + layer));
    all.add("grad_norm");
    all.add("skipped_steps");
    all.add("non_finite");
    all.add("seconds_per_step");
    all.add("samples_per_second");
    for (String metric : metrics) {
      if (!all.add(metric)) {
        throw new IllegalStateException(
            "metric must not be named as a column of the log, found " + metric);
      }
    }
    return all;
  }

  private void writeLine(String line) {
    try {
      out.write(line + "\r\n");
      out.flush();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String quote(String field) {
    boolean special = field.chars().anyMatch(c -> c == ',' || c == '"' || c == '\r' || c == '\n');
    return special ? '"' + field.replace("\"", "\"\"") + '"' : field;
  }

  @Override
  public void close() throws IOException {
    out.close();
  }
}
