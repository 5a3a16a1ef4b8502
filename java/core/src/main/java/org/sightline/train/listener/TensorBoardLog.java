package org.sightline.train.listener;

import com.google.gson.JsonParser;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.sightline.formats.tfrecord.EventFileWriter;
import org.sightline.train.Evaluation;
import org.sightline.train.FineTuneConfig;
import org.sightline.train.StepEvent;
import org.sightline.train.TrainingListener;
import org.sightline.train.checkpoint.Checkpointable;

/**
 * Writes a run for TensorBoard: {@code tensorboard --logdir FOLDER} shows it while it goes. Tags
 * are {@code train/…} and {@code evaluation/…} with the names that {@link CsvLog} and {@link
 * TimingLog} give their columns.
 */
public final class TensorBoardLog implements TrainingListener, Checkpointable, AutoCloseable {
  /** One file a run, so that a resumed one goes on with it. */
  static final String FILE = "events.out.tfevents.0.sightline";

  private final Path file;
  private long keep;
  private EventFileWriter events;

  /**
   * A log that is opened when the run begins; a run that is not resumed empties it.
   *
   * @param folder must exist
   */
  public TensorBoardLog(Path folder) {
    this.file = folder.resolve(FILE);
  }

  @Override
  public void begin(FineTuneConfig config, int trainedTensors, long trainedParameters) {
    if (events == null) {
      try {
        events = new EventFileWriter(file, keep);
      } catch (IOException e) {
        throw new UncheckedIOException(e.getMessage(), e);
      }
    }
  }

  @Override
  public void step(StepEvent event) {
    Map<String, Number> values = EventValues.of(event);
    values.put("seconds_per_step", event.secondsPerStep());
    if (!Double.isNaN(event.samplesPerSecond())) {
      values.put("samples_per_second", event.samplesPerSecond());
    }
    values.putAll(event.metrics());
    write("train/", event.step(), values);
  }

  @Override
  public void evaluation(Evaluation evaluation) {
    Map<String, Number> values = EventValues.of(evaluation);
    values.putAll(evaluation.metrics());
    values.put("seconds", evaluation.seconds());
    write("evaluation/", evaluation.step(), values);
  }

  private void write(String prefix, int step, Map<String, Number> values) {
    Map<String, Double> tagged = new LinkedHashMap<>();
    values.forEach((name, value) -> tagged.put(prefix + name, value.doubleValue()));
    try {
      events.scalars(step, tagged);
    } catch (IOException e) {
      throw new UncheckedIOException(e.getMessage(), e);
    }
  }

  @Override
  public String name() {
    return "tensorboard";
  }

  @Override
  public State state() {
    try {
      return State.ofJson("{\"bytes\":" + events.force() + "}");
    } catch (IOException e) {
      throw new UncheckedIOException(e.getMessage(), e);
    }
  }

  @Override
  public void restore(State state) {
    keep = JsonParser.parseString(state.json()).getAsJsonObject().get("bytes").getAsLong();
  }

  @Override
  public void close() throws IOException {
    if (events != null) {
      events.close();
    }
  }
}
