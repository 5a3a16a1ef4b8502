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
    file.begin();
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
    row.put("learning_rate", event.learningRate());
    row.put("skipped_steps", event.skippedSteps());
    row.put("non_finite", event.nonFinite());
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
    if (!file.hasColumns()) {
      file.columns(new ArrayList<>(columns(metrics.keySet())));
    }
    row.putAll(metrics);
    file.row(row);
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
