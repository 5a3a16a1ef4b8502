package org.sightline.vla.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.IntStream;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.InputFile;

/**
 * What a run wrote to its logs, for tables and plots: also of what it did before it was resumed.
 *
 * @param training a row per log interval
 * @param evaluations in order, the first before the first step
 * @param timing a row per log interval
 */
record RunHistory(List<Row> training, List<Row> evaluations, List<Row> timing) {
  static final String LOG = "log.csv";
  static final String TIMING = "timing.csv";
  private static final String COSINE = "cosine_";

  /**
   * @param step optimizer steps done
   * @param values by column; those that are empty are left out
   */
  record Row(int step, Map<String, Double> values) {
    /** NaN if there is none. */
    double get(String column) {
      return values.getOrDefault(column, Double.NaN);
    }

    /** Mean over the aligned layers; NaN if there is none. */
    double cosine() {
      OptionalDouble mean =
          values.entrySet().stream()
              .filter(entry -> entry.getKey().startsWith(COSINE))
              .mapToDouble(Map.Entry::getValue)
              .average();
      return mean.orElse(Double.NaN);
    }
  }

  /** The evaluation with the lowest action loss. */
  static Optional<Row> best(List<Row> evaluations) {
    return evaluations.stream().min(Comparator.comparingDouble(row -> row.get("action_loss")));
  }

  /** Reads the logs in a mode's folder. */
  static RunHistory read(Path folder) throws IOException {
    return new RunHistory(
        rows(folder.resolve(LOG), "train"),
        rows(folder.resolve(LOG), "evaluation"),
        rows(folder.resolve(TIMING), "train"));
  }

  /** The columns of the layers' cosines that the evaluations have. */
  List<String> cosineColumns() {
    return evaluations.stream()
        .flatMap(row -> row.values().keySet().stream())
        .filter(column -> column.startsWith(COSINE))
        .distinct()
        .toList();
  }

  /** Evenly spaced rows, at most so many, the last among them. */
  static List<Row> thinned(List<Row> rows, int most) {
    if (rows.size() <= most) {
      return rows;
    }
    return IntStream.rangeClosed(1, most)
        .mapToObj(i -> rows.get((int) ((long) i * rows.size() / most) - 1))
        .toList();
  }

  private static List<Row> rows(Path file, String phase) throws IOException {
    String text = InputFile.text(file);
    List<Row> rows = new ArrayList<>();
    List<String> columns = null;
    // A line without an end is being written.
    for (String line : text.substring(0, text.lastIndexOf('\n') + 1).lines().toList()) {
      List<String> fields = fields(line);
      if (columns == null) {
        columns = fields;
        if (columns.size() < 2 || !columns.subList(0, 2).equals(List.of("phase", "step"))) {
          throw new FormatException(file, "header", line, "phase,step and more columns");
        }
      } else if (fields.size() != columns.size() || fields.size() < 2) {
        throw new FormatException(
            file, "row " + line, fields.size() + " fields", columns.size() + " as in the header");
      } else if (fields.get(0).equals(phase)) {
        rows.add(row(file, columns, fields));
      }
    }
    return rows;
  }

  private static Row row(Path file, List<String> columns, List<String> fields)
      throws FormatException {
    try {
      Map<String, Double> values = new LinkedHashMap<>();
      for (int i = 2; i < fields.size(); i++) {
        if (!fields.get(i).isEmpty()) {
          values.put(columns.get(i), Double.valueOf(fields.get(i)));
        }
      }
      return new Row(Integer.parseInt(fields.get(1)), values);
    } catch (NumberFormatException e) {
      throw new FormatException(file, "row " + fields, e.getMessage());
    }
  }

  /** Splits a line of our own logs, where no field spans lines. */
  private static List<String> fields(String line) {
    List<String> fields = new ArrayList<>();
    StringBuilder field = new StringBuilder();
    boolean quoted = false;
    for (int i = 0; i < line.length(); i++) {
      char c = line.charAt(i);
      if (c == '"' && quoted && i + 1 < line.length() && line.charAt(i + 1) == '"') {
        field.append(line.charAt(++i));
      } else if (c == '"') {
        quoted = !quoted;
      } else if (c == ',' && !quoted) {
        fields.add(field.toString());
        field.setLength(0);
      } else {
        field.append(c);
      }
    }
    fields.add(field.toString());
    return fields;
  }
}
