package org.sightline.vla.finetune;

import de.siegmar.fastcsv.reader.CsvParseException;
import de.siegmar.fastcsv.reader.CsvReader;
import de.siegmar.fastcsv.reader.CsvRecord;
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
public record RunHistory(List<Row> training, List<Row> evaluations, List<Row> timing) {
  public static final String LOG = "log.csv";
  static final String TIMING = "timing.csv";
  private static final String COSINE = "cosine_";

  /**
   * @param step optimizer steps done
   * @param values by column; those that are empty are left out
   */
  public record Row(int step, Map<String, Double> values) {
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
  public static Optional<Row> best(List<Row> evaluations) {
    return evaluations.stream().min(Comparator.comparingDouble(row -> row.get("action_loss")));
  }

  /** Reads the logs in a mode's folder. */
  public static RunHistory read(Path folder) throws IOException {
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
    // A line without an end is being written.
    String whole = text.substring(0, text.lastIndexOf('\n') + 1);
    List<Row> rows = new ArrayList<>();
    List<String> columns = null;
    try (CsvReader<CsvRecord> records =
        CsvReader.builder().allowExtraFields(false).ofCsvRecord(whole)) {
      for (CsvRecord record : records) {
        List<String> fields = record.getFields();
        if (columns == null) {
          columns = fields;
          if (columns.size() < 2 || !columns.subList(0, 2).equals(List.of("phase", "step"))) {
            throw new FormatException(
                file, "header", columns.toString(), "phase, step and more columns");
          }
        } else if (fields.get(0).equals(phase)) {
          rows.add(row(file, columns, fields));
        }
      }
    } catch (CsvParseException e) {
      Throwable defect = e.getCause() == null ? e : e.getCause();
      throw new FormatException(file, "document", defect.getMessage());
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
}
