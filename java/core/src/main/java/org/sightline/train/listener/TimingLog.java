package org.sightline.train.listener;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.sightline.train.Evaluation;
import org.sightline.train.FineTuneConfig;
import org.sightline.train.StepEvent;

/**
 * Writes the times of a run as CSV (RFC 4180, UTF-8), apart from its values, which do not change
 * from one machine to the next. Columns: {@code phase} and {@code step} as in {@link CsvLog};
 * {@code seconds_per_step} and {@code samples_per_second} of training; {@code seconds} of an
 * evaluation.
 */
public final class TimingLog extends CsvListener {
  /**
   * Opens or creates the file; a run that is not resumed empties it.
   *
   * @throws IOException if it cannot be written
   */
  public TimingLog(Path file) throws IOException {
    super("timing", file);
  }

  @Override
  public void begin(FineTuneConfig config, int trainedTensors, long trainedParameters) {
    begin();
    if (!hasColumns()) {
      columns(List.of("phase", "step", "seconds_per_step", "samples_per_second", "seconds"));
    }
  }

  @Override
  public void step(StepEvent event) {
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("phase", "train");
    row.put("step", event.step());
    row.put("seconds_per_step", event.secondsPerStep());
    if (!Double.isNaN(event.samplesPerSecond())) {
      row.put("samples_per_second", event.samplesPerSecond());
    }
    row(row);
  }

  @Override
  public void evaluation(Evaluation evaluation) {
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("phase", "evaluation");
    row.put("step", evaluation.step());
    row.put("seconds", evaluation.seconds());
    row(row);
  }
}
