package org.sightline.vla.cli;

import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Objects;
import java.util.stream.Stream;
import picocli.CommandLine.TypeConversionException;

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

  /** A path out of a file of settings, which the locale may not be able to hold either. */
  static Path path(String text) {
    try {
      return Path.of(text);
    } catch (InvalidPathException e) {
      throw new TypeConversionException(explain(e));
    }
  }

  static String explain(InvalidPathException e) {
    boolean unmappable = e.getReason().startsWith("Malformed input");
    return "found \"%s\": %s".formatted(e.getInput(), unmappable ? cause() : e.getReason());
  }

  /** Why, and what to do. */
  private static String cause() {
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
