package org.sightline.vla.cli;

import java.util.Objects;
import java.util.stream.Stream;

/**
 * Text that the locale cannot hold. Java decodes arguments and names of files by the locale, and
 * puts U+FFFD where it cannot: another instruction, another file.
 */
final class TextEncoding {
  private static final char UNKNOWN = '\uFFFD';

  private TextEncoding() {}

  /** Refuses arguments, and a working folder, that did not arrive as they were typed. */
  static void requireWhole(String... args) {
    for (int i = 0; i < args.length; i++) {
      String name = i > 0 && args[i - 1].startsWith("--") ? args[i - 1] : "argument " + (i + 1);
      requireWhole(name, args[i]);
    }
    requireWhole("the working folder", System.getProperty("user.dir"));
  }

  private static void requireWhole(String name, String text) {
    if (text.indexOf(UNKNOWN) >= 0) {
      throw new IllegalArgumentException("%s: found \"%s\": %s".formatted(name, text, cause()));
    }
  }

  /** Why, and what to do. */
  static String cause() {
    String encoding = System.getProperty("sun.jnu.encoding");
    if (encoding.equals("UTF-8")) {
      return "not all of it is UTF-8, the encoding of this locale";
    }
    String locale =
        Stream.of("LC_ALL", "LC_CTYPE", "LANG")
            .map(System::getenv)
            .filter(Objects::nonNull)
            .filter(value -> !value.isEmpty())
            .findFirst()
            .orElse("POSIX");
    return "the locale %s (%s) cannot hold its characters: start with LC_ALL=C.UTF-8"
        .formatted(locale, encoding);
  }
}
