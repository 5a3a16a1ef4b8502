package org.sightline.formats.json;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collector;
import java.util.stream.Collectors;

/** JSON text exactly as the Rust and Python writers of these formats produce it. */
public final class Json {
  /** Order of the UTF-8 bytes; differs from Java's own beyond the basic multilingual plane. */
  public static final Comparator<String> UTF8_ORDER =
      (a, b) ->
          Arrays.compareUnsigned(
              a.getBytes(StandardCharsets.UTF_8), b.getBytes(StandardCharsets.UTF_8));

  private Json() {}

  /** A string literal; escapes only what JSON demands, leaves the rest of Unicode as it is. */
  public static String quote(String text) {
    return quote(text, false);
  }

  private static String quote(String text, boolean ascii) {
    StringBuilder out = new StringBuilder("\"");
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      switch (c) {
        case '"' -> out.append("\\\"");
        case '\\' -> out.append("\\\\");
        case '\b' -> out.append("\\b");
        case '\f' -> out.append("\\f");
        case '\n' -> out.append("\\n");
        case '\r' -> out.append("\\r");
        case '\t' -> out.append("\\t");
        default -> {
          if (c < 0x20 || ascii && c > 0x7e) {
            out.append(String.format(Locale.ROOT, "\\u%04x", (int) c));
          } else {
            out.append(c);
          }
        }
      }
    }
    return out.append('"').toString();
  }

  /** A value as Python's {@code json.dumps(value, indent=2)} writes it; maps keep their order. */
  public static String dump(Object value) {
    return dump(value, "\n");
  }

  private static String dump(Object value, String newline) {
    String deeper = newline + "  ";
    if (value instanceof Map<?, ?> map) {
      return map.entrySet().stream()
          .map(entry -> dump(entry.getKey(), deeper) + ": " + dump(entry.getValue(), deeper))
          .collect(block("{", "}", map.isEmpty(), newline));
    }
    if (value instanceof Collection<?> items) {
      return items.stream()
          .map(item -> dump(item, deeper))
          .collect(block("[", "]", items.isEmpty(), newline));
    }
    // Numbers, booleans and null read the same in Java and JSON.
    return value instanceof String text ? quote(text, true) : String.valueOf(value);
  }

  private static Collector<CharSequence, ?, String> block(
      String open, String close, boolean empty, String newline) {
    return empty
        ? Collectors.joining("", open, close)
        : Collectors.joining("," + newline + "  ", open + newline + "  ", newline + close);
  }
}
