package org.sightline.formats;

import java.util.Locale;

/**
 * Text that others wrote (names in files, names of files) as it may stand on a terminal or in a
 * log. Raw, it could start lines of its own, move the cursor, colour or retitle the window, or turn
 * around what stands beside it.
 */
public final class Printable {
  private Printable() {}

  /** On one line: control and format characters, line breaks too, are written as escapes. */
  public static String of(Object text) {
    return escaped(String.valueOf(text), false);
  }

  /** As {@link #of}, of a text whose line breaks and tabs are its own: JSON, a stack trace. */
  public static String lines(String text) {
    return escaped(text, true);
  }

  private static String escaped(String text, boolean lines) {
    int plain = 0; // Most text is nothing but letters, and there may be much of it.
    while (plain < text.length() && text.charAt(plain) >= ' ' && text.charAt(plain) <= '~') {
      plain++;
    }
    if (plain == text.length()) {
      return text;
    }
    StringBuilder out = new StringBuilder(text.length() + 16).append(text, 0, plain);
    for (int at = plain, c; at < text.length(); at += Character.charCount(c)) {
      c = text.codePointAt(at);
      switch (Character.getType(c)) {
        case Character.CONTROL,
            Character.FORMAT,
            Character.SURROGATE,
            Character.LINE_SEPARATOR,
            Character.PARAGRAPH_SEPARATOR -> {
          if (lines && (c == '\n' || c == '\t')) {
            out.append((char) c);
          } else {
            escape(c, out);
          }
        }
        default -> out.appendCodePoint(c);
      }
    }
    return out.toString();
  }

  private static void escape(int c, StringBuilder out) {
    switch (c) {
      case '\n' -> out.append("\\n");
      case '\r' -> out.append("\\r");
      case '\t' -> out.append("\\t");
      default -> {
        for (char unit : Character.toChars(c)) {
          out.append(String.format(Locale.ROOT, "\\u%04x", (int) unit));
        }
      }
    }
  }
}
