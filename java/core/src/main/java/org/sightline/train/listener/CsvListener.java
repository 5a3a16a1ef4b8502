package org.sightline.train.listener;

import com.google.gson.Gson;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.sightline.formats.file.InputFile;
import org.sightline.train.TrainingListener;
import org.sightline.train.checkpoint.Checkpointable;
import org.sightline.train.checkpoint.Checkpointable.State;

/**
 * A listener that writes a CSV file (RFC 4180, UTF-8) row by row, which is cut back to where it was
 * when a run goes on from a checkpoint.
 */
abstract class CsvListener implements TrainingListener, Checkpointable, AutoCloseable {
  private static final Gson GSON = new Gson();

  private record Position(long bytes, List<String> columns) {}

  private final String name;
  private final Path path;
  // Not a channel, which an interrupt of the thread would close.
  private final RandomAccessFile file;
  private List<String> columns;

  /**
   * Opens the file, or creates it. It keeps its content until {@link #begin}.
   *
   * @param name of its place in checkpoints
   */
  CsvListener(String name, Path path) throws IOException {
    this.name = name;
    this.path = path;
    this.file = new RandomAccessFile(InputFile.requireNoLink(path).toFile(), "rw");
  }

  /** Empties the file, unless rows were written or it was restored. */
  final void begin() {
    if (columns == null) {
      cut(0);
    }
  }

  final boolean hasColumns() {
    return columns != null;
  }

  /** Writes the header. */
  final void columns(List<String> columns) {
    this.columns = List.copyOf(columns);
    writeLine(columns);
  }

  /**
   * Writes a row; a column that is missing in it is an empty field.
   *
   * @throws IllegalStateException if the row has more
   */
  final void row(Map<String, Object> row) {
    if (!columns.containsAll(row.keySet())) {
      throw new IllegalStateException(
          "CSV row must keep to the columns " + columns + ", found " + row.keySet());
    }
    writeLine(
        columns.stream()
            .map(column -> row.containsKey(column) ? row.get(column).toString() : "")
            .toList());
  }

  private void writeLine(List<String> fields) {
    String line = fields.stream().map(CsvListener::quote).collect(Collectors.joining(","));
    try {
      file.write((line + "\r\n").getBytes(StandardCharsets.UTF_8));
    } catch (IOException e) {
      throw new UncheckedIOException(path + ": " + e.getMessage(), e);
    }
  }

  private static String quote(String field) {
    boolean special = field.chars().anyMatch(c -> c == ',' || c == '"' || c == '\r' || c == '\n');
    return special ? '"' + field.replace("\"", "\"\"") + '"' : field;
  }

  @Override
  public final String name() {
    return name;
  }

  /** Makes the rows durable and tells how many bytes they are. */
  @Override
  public final State state() {
    try {
      file.getFD().sync();
      return State.ofJson(GSON.toJson(new Position(file.getFilePointer(), columns)));
    } catch (IOException e) {
      throw new UncheckedIOException(path + ": " + e.getMessage(), e);
    }
  }

  /** Cuts off what was written after the state. */
  @Override
  public final void restore(State state) {
    Position position = GSON.fromJson(state.json(), Position.class);
    cut(position.bytes);
    columns = position.columns;
  }

  private void cut(long bytes) {
    try {
      if (file.length() < bytes) {
        throw new IllegalArgumentException(
            path + ": found " + file.length() + " bytes, expected the " + bytes + " of the run");
      }
      if (file.length() > bytes) {
        file.setLength(bytes);
      }
      file.seek(bytes);
    } catch (IOException e) {
      throw new UncheckedIOException(path + ": " + e.getMessage(), e);
    }
  }

  @Override
  public final void close() throws IOException {
    try {
      file.close();
    } catch (IOException e) {
      throw InputFile.named(path, e);
    }
  }
}
