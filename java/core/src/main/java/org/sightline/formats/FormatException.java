package org.sightline.formats;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Collection;
import java.util.stream.Collectors;

/**
 * A file that does not follow its format. The message reads {@code file: key: found …, expected …};
 * what it quotes of the file is {@link Printable}.
 */
public final class FormatException extends IOException {
  private static final long serialVersionUID = 1L;

  /** A message is no place for a whole file. */
  private static final int MAX_QUOTED = 1000;

  /** For a value that is not what the format asks for. */
  public FormatException(Path file, String key, String found, String expected) {
    this(file, brief(key), "found " + brief(found) + ", expected " + expected);
  }

  private static String brief(String text) {
    return text.length() <= MAX_QUOTED ? text : text.substring(0, MAX_QUOTED) + "…";
  }

  /** For a defect that is not of one value. */
  public FormatException(Path file, String key, String defect) {
    super(Printable.of(file + ": " + key + ": " + defect));
  }

  /** For several defects, a line each. */
  public FormatException(Path file, String key, Collection<String> defects) {
    super(
        Printable.of(file + ": " + key)
            + defects.stream().map(d -> "\n  " + Printable.of(d)).collect(Collectors.joining()));
  }
}
