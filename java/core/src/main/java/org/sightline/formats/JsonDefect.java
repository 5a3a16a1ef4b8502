package org.sightline.formats;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * The first place where a text departs from JSON's grammar (RFC 8259, and the numbers of Python's
 * {@code json} that are not finite), in words that help to mend it: a parser's own message knows
 * the place only roughly, and nothing of what would fit there.
 *
 * @param line from 1
 * @param column from 1, in UTF-16 code units
 * @param found the character or word there
 * @param expected what the grammar has in its place
 */
record JsonDefect(int line, int column, String found, String expected) {
  private static final int MAX_DEPTH = 255; // As deep as Gson follows.

  private static final int MAX_WORD = 20;

  /** The first defect of a text that has one. */
  static JsonDefect first(String text) {
    Scanner scanner = new Scanner(text);
    try {
      scanner.document();
      scanner.expected("a JSON document");
    } catch (Defect e) {
      // The scanner stands there.
    }
    return scanner.defect();
  }

  /**
   * A text cut before and after each NaN, Infinity and -Infinity that stands for a number: these
   * are the odd pieces. One piece, the text, if there is none or anything else is wrong.
   */
  static List<String> aroundNotFinite(String text) {
    Scanner scanner = new Scanner(text);
    try {
      scanner.document();
    } catch (Defect e) {
      return List.of(text);
    }
    List<String> pieces = new ArrayList<>();
    int start = 0;
    for (int end : scanner.cuts) {
      pieces.add(text.substring(start, end));
      start = end;
    }
    pieces.add(text.substring(start));
    return pieces;
  }

  /** Ends the scan. */
  private static final class Defect extends Exception {
    private static final long serialVersionUID = 1L;

    Defect() {
      super(null, null, false, false);
    }
  }

  /** Walks along the grammar's rules; {@code at} stands before what was not looked at yet. */
  private static final class Scanner {
    private static final char END = '\0'; // Fits nowhere in JSON as a character either.

    private final String text;
    private final List<Integer> cuts = new ArrayList<>();
    private int at;
    private String expected;

    Scanner(String text) {
      this.text = text;
      this.at = text.startsWith("\uFEFF") ? 1 : 0; // A byte order mark.
    }

    void document() throws Defect {
      value(1);
      space();
      if (at < text.length()) {
        expected("the end of the document");
      }
    }

    private void value(int depth) throws Defect {
      space();
      switch (peek()) {
        case '{' -> object(depth);
        case '[' -> array(depth);
        case '"' -> string();
        default -> {
          if (isNotFinite()) {
            cuts.add(at);
            at += word().length();
            cuts.add(at);
          } else if (peek() == '-' || isDigit()) {
            number();
          } else {
            literal();
          }
        }
      }
    }

    private void object(int depth) throws Defect {
      open(depth);
      if (closes('}')) {
        return;
      }
      do {
        space();
        if (peek() != '"') {
          expected("a key in double quotes");
        }
        string();
        space();
        take(':', "':' after the key");
        value(depth + 1);
      } while (more('}'));
    }

    private void array(int depth) throws Defect {
      open(depth);
      if (closes(']')) {
        return;
      }
      do {
        value(depth + 1);
      } while (more(']'));
    }

    private void open(int depth) throws Defect {
      if (depth > MAX_DEPTH) {
        expected("at most " + MAX_DEPTH + " lists and objects in one another");
      }
      at++;
    }

    private boolean closes(char bracket) {
      space();
      boolean closed = peek() == bracket;
      at += closed ? 1 : 0;
      return closed;
    }

    /** Whether a comma follows; the closing bracket otherwise. */
    private boolean more(char bracket) throws Defect {
      if (closes(bracket)) {
        return false;
      }
      take(',', "',' or '" + bracket + "'");
      return true;
    }

    private void string() throws Defect {
      at++;
      while (peek() != '"') {
        if (at == text.length() || peek() < ' ') {
          expected("the '\"' that ends the string");
        }
        if (peek() == '\\') {
          escape();
        } else {
          at++;
        }
      }
      at++;
    }

    private void escape() throws Defect {
      boolean unicode = text.startsWith("\\u", at);
      int end = at + (unicode ? 6 : 2);
      String escape = text.substring(at, Math.min(end, text.length()));
      if (!escape.matches("\\\\([\"\\\\/bfnrt]|u[0-9a-fA-F]{4})")) {
        expected("one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
      }
      at = end;
    }

    private void number() throws Defect {
      int start = at;
      while (isDigit() || "+-.eE".indexOf(peek()) >= 0) {
        at++;
      }
      boolean word = Character.isLetter(peek());
      if (word || !text.substring(start, at).matches("-?(0|[1-9]\\d*)(\\.\\d+)?([eE][+-]?\\d+)?")) {
        at = start;
        expected("a number such as 1, -0.5 or 2e-3");
      }
    }

    private void literal() throws Defect {
      String word = word();
      if (!word.equals("true") && !word.equals("false") && !word.equals("null")) {
        expected("a value");
      }
      at += word.length();
    }

    private boolean isNotFinite() {
      String word = word();
      return word.equals("NaN") || word.equals("Infinity") || word.equals("-Infinity");
    }

    private void take(char wanted, String description) throws Defect {
      if (peek() != wanted) {
        expected(description);
      }
      at++;
    }

    private void space() {
      while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
        at++;
      }
    }

    private char peek() {
      return at < text.length() ? text.charAt(at) : END;
    }

    private boolean isDigit() {
      return peek() >= '0' && peek() <= '9';
    }

    /** Letters, digits and what numbers are made of, from here on. */
    private String word() {
      int end = at;
      while (end < text.length()
          && (Character.isLetterOrDigit(text.charAt(end))
              || "_+-.".indexOf(text.charAt(end)) >= 0)) {
        end++;
      }
      return text.substring(at, end);
    }

    private void expected(String description) throws Defect {
      expected = description;
      throw new Defect();
    }

    JsonDefect defect() {
      int line = 1 + (int) text.substring(0, at).chars().filter(c -> c == '\n').count();
      int column = at - text.lastIndexOf('\n', at - 1);
      return new JsonDefect(line, column, found(), expected);
    }

    private String found() {
      if (at == text.length()) {
        return "the end of the text";
      }
      if (peek() == '\n' || peek() == '\r') {
        return "the end of the line";
      }
      if (peek() < ' ') {
        return String.format(Locale.ROOT, "the control character U+%04X", (int) peek());
      }
      if (peek() == '\'') {
        return "a single quote";
      }
      String word = word();
      if (word.isEmpty()) {
        word = text.substring(at, text.offsetByCodePoints(at, 1));
      }
      return "'" + (word.length() > MAX_WORD ? word.substring(0, MAX_WORD) + "…" : word) + "'";
    }
  }
}
