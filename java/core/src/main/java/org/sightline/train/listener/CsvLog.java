package org.sightline.train.listener;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import org.sightline.train.Evaluation;
import org.sightline.train.FineTuneConfig;
import org.sightline.train.StepEvent;

/**
 * Writes a run as CSV (RFC 4180, UTF-8): a row for every step event and evaluation, handed to the
 * system as it is written. Columns:
 *
 * <pre>
 * phase                train or evaluation
 * step                 optimizer steps done
 * action_loss, alignment_loss, total_loss
 * cosine_&lt;layer&gt;       for every aligned layer of the configuration
 * grad_norm, learning_rate, skipped_steps, non_finite
 * then the policy's metrics by their own names
 * </pre>
 *
 * <p>A value that does not exist in a row's phase or mode is an empty field. Numbers are written as
 * {@link Double#toString} does, in any locale, so that reading them back gives the same bits. There
 * are no times in it (see {@link TimingLog}): the same run gives the same bytes, also one that was
 * resumed.
 */
public final class CsvLog extends CsvListener {
  private FineTuneConfig config;

  /**
   * Opens or creates the file; a run that is not resumed empties it.
   *
   * @throws IOException if it cannot be written
   */
  public CsvLog(Path file) throws IOException {
    super("log", file);
  }

  @Override
  public void begin(FineTuneConfig config, int trainedTensors, long trainedParameters) {
    this.config = config;
    begin();
  }

  @Override
  public void step(StepEvent event) {
    write("train", event.step(), EventValues.of(event), event.metrics());
  }

  @Override
  public void evaluation(Evaluation evaluation) {
    write("evaluation", evaluation.step(), EventValues.of(evaluation), evaluation.metrics());
  }

  private void write(
      String phase, int step, Map<String, Number> values, Map<String, Double> metrics) {
    if (!hasColumns()) {
      columns(new ArrayList<>(columns(metrics.keySet())));
    }
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("phase", phase);
    row.put("step", step);
    row.putAll(values);
    row.putAll(metrics);
    row(row);
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
    all.add("learning_rate");
    all.add("skipped_steps");
    all.add("non_finite");
    for (String metric : metrics) {
      if (!all.add(metric)) {
        throw new IllegalStateException(
            "metric must not be named as a column of the log, found " + metric);
      }
    }
    return all;
  }
}
