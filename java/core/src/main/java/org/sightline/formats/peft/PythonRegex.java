package org.sightline.formats.peft;

import com.google.re2j.Pattern;
import com.google.re2j.PatternSyntaxException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;

/**
 * Regular expressions as Python's {@code re} writes them, matched in time linear in the text: they
 * come out of files that others wrote. What has no such matching (look-around, back-references) is
 * refused, and so is what the engine would read otherwise than Python.
 */
final class PythonRegex {
  /** Of an expression, in characters, those that are repeated counted as often as they are. */
  private static final int MAX_SIZE = 3_000;

  /** The engine follows them by recursion. */
  private static final int MAX_GROUPS = 200;

  private static final int REMEMBERED = 1000;

  private static final java.util.regex.Pattern COUNT =
      java.util.regex.Pattern.compile("\\{(\\d+)(?:,(\\d+))?");

  /** An escape, or what RE2 alone has; {@code {,2}}, which is text to RE2, is 0 to 2 to Python. */
  private static final java.util.regex.Pattern FOREIGN =
      java.util.regex.Pattern.compile(
          "\\\\.|\\[:\\^?\\w+:]|\\{,\\d+}|\\(\\?[a-zA-Z]*U", java.util.regex.Pattern.DOTALL);

  /** By expression: each is matched against every module of a model. */
  private static final Map<String, Pattern> COMPILED =
      new LinkedHashMap<>(16, 0.75f, true) {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Pattern> eldest) {
          return size() > REMEMBERED;
        }
      };

  private PythonRegex() {}

  /**
   * @throws IllegalArgumentException if it is not one that both languages have, with the reason
   */
  static Pattern compile(String expression) {
    synchronized (COMPILED) {
      Pattern pattern = COMPILED.get(expression);
      if (pattern == null) {
        pattern = compiled(expression);
        COMPILED.put(expression, pattern);
      }
      return pattern;
    }
  }

  private static Pattern compiled(String expression) {
    if (size(expression) > MAX_SIZE) {
      throw wrong(
          expression,
          "at most %d characters, counting each as often as it is repeated".formatted(MAX_SIZE));
    }
    if (expression.chars().filter(c -> c == '(').count() > MAX_GROUPS) {
      throw wrong(expression, "at most %d groups".formatted(MAX_GROUPS));
    }
    try {
      return Pattern.compile(FOREIGN.matcher(expression).replaceAll(PythonRegex::translated));
    } catch (PatternSyntaxException e) {
      throw wrong(
          expression,
          "a regular expression, without look-around and back-references: " + e.getDescription());
    }
  }

  /** An upper bound of what a match may take for each character of a text. */
  static double size(String expression) {
    double size = expression.length();
    for (Matcher count = COUNT.matcher(expression); count.find(); ) {
      String most = count.group(count.group(2) == null ? 1 : 2);
      size *= Math.max(1, Double.parseDouble(most));
    }
    return size;
  }

  private static String translated(MatchResult found) {
    String text = found.group();
    if (!text.startsWith("\\") || "QECpPz".indexOf(text.charAt(1)) >= 0) {
      throw new PatternSyntaxException("Python reads this otherwise", text);
    }
    return Matcher.quoteReplacement(text.equals("\\Z") ? "\\z" : text);
  }

  private static IllegalArgumentException wrong(String expression, String expected) {
    String start = expression.length() <= 100 ? expression : expression.substring(0, 100) + "…";
    return new IllegalArgumentException("found \"%s\", expected %s".formatted(start, expected));
  }

  /** Whether {@code re.match} succeeds: from the start, not necessarily to the end. */
  static boolean match(String expression, String text) {
    return compile(expression).matcher(text).lookingAt();
  }
}
