package org.sightline.vla.cli;

import com.google.gson.FieldNamingPolicy;
import com.google.gson.GsonBuilder;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.sightline.formats.Printable;
import org.sightline.vla.memory.ByteCount;

/**
 * What something on disk holds, for people and machines.
 *
 * @param facts in the order they are told: strings, numbers, lists and maps of them
 * @param rows name of the list of rows, {@code tensors}
 * @param table the rows, each with the same keys
 */
record Inspection(
    Map<String, Object> facts, String rows, List<? extends Map<String, Object>> table) {
  private static final String BYTES = "bytes";
  private static final MathContext DIGITS = new MathContext(5);

  /** All of it as one object; bytes are plain numbers. */
  String toJson() {
    Map<String, Object> all = new LinkedHashMap<>(facts);
    all.put(rows, table);
    return json(all);
  }

  /** What commands print for machines. */
  static String json(Object value) {
    return Printable.lines(
        new GsonBuilder()
            .setPrettyPrinting()
            .disableHtmlEscaping()
            .setFieldNamingPolicy(FieldNamingPolicy.LOWER_CASE_WITH_UNDERSCORES)
            .create()
            .toJson(value));
  }

  /** A line or paragraph for each fact, then the rows in columns. */
  String toText() {
    StringBuilder text = new StringBuilder();
    facts.forEach((name, value) -> fact(text, name.replace('_', ' '), name, value));
    text.append('\n');
    table(text);
    return text.toString();
  }

  private static void fact(StringBuilder text, String label, String key, Object value) {
    boolean nested =
        value instanceof Map<?, ?>
            || value instanceof List<?> list && list.stream().anyMatch(Map.class::isInstance);
    if (!nested) {
      line(text, label, plain(key, value));
      return;
    }
    String head = label;
    if (value instanceof Map<?, ?> map) {
      for (Map.Entry<?, ?> entry : map.entrySet()) {
        String name = String.valueOf(entry.getKey());
        line(text, head, name + ": " + plain(name, entry.getValue()));
        head = "";
      }
    } else {
      for (Object item : (List<?>) value) {
        line(text, head, plain("", item));
        head = "";
      }
    }
  }

  private static void line(StringBuilder text, String label, String content) {
    text.append(String.format(Locale.ROOT, "%-13s %s%n", label, Printable.of(content)));
  }

  private static String plain(String key, Object value) {
    if (value instanceof Map<?, ?> map) {
      List<String> parts = new ArrayList<>();
      map.forEach((k, v) -> parts.add(k + " " + plain(String.valueOf(k), v)));
      return String.join(", ", parts);
    }
    if (value instanceof Collection<?> items) {
      return items.toString();
    }
    if (value instanceof Long || value instanceof Integer) {
      long number = ((Number) value).longValue();
      return key.equals(BYTES)
          ? ByteCount.format(number)
          : String.format(Locale.ROOT, "%,d", number);
    }
    if (value instanceof Double number && Double.isFinite(number)) {
      return BigDecimal.valueOf(number).round(DIGITS).toString();
    }
    return value == null ? "-" : value.toString();
  }

  private void table(StringBuilder text) {
    if (table.isEmpty()) {
      return;
    }
    List<String> columns = List.copyOf(table.get(0).keySet());
    List<List<String>> cells = new ArrayList<>();
    cells.add(columns);
    for (Map<String, Object> row : table) {
      cells.add(
          columns.stream().map(column -> Printable.of(plain(column, row.get(column)))).toList());
    }
    int[] widths = new int[columns.size()];
    for (List<String> row : cells) {
      for (int i = 0; i < widths.length; i++) {
        widths[i] = Math.max(widths[i], row.get(i).length());
      }
    }
    for (List<String> row : cells) {
      StringBuilder line = new StringBuilder();
      for (int i = 0; i < widths.length; i++) {
        line.append(row.get(i)).append(" ".repeat(widths[i] - row.get(i).length() + 2));
      }
      text.append(line.toString().stripTrailing()).append('\n');
    }
  }
}
