package org.sightline.train.listener;

import java.io.IOException;
import java.nio.file.Path;
import org.sightline.train.TrainingListener;
import org.sightline.train.checkpoint.Checkpointable;

/** A listener that writes a CSV file, which a resumed run goes on with. */
abstract class CsvListener implements TrainingListener, Checkpointable, AutoCloseable {
  final CsvFile file;
  private final String name;

  /**
   * Opens or creates the file; a run that is not resumed empties it.
   *
   * @param name of the file's place in checkpoints
   * @throws IOException if it cannot be written
   */
  CsvListener(String name, Path file) throws IOException {
    this.name = name;
    this.file = new CsvFile(file);
  }

  @Override
  public final String name() {
    return name;
  }

  @Override
  public final State state() {
    return file.state();
  }

  @Override
  public final void restore(State state) {
    file.restore(state);
  }

  @Override
  public final void close() throws IOException {
    file.close();
  }
}
