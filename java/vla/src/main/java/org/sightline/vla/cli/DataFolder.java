package org.sightline.vla.cli;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A folder of data as {@code --data} names it: {@code [NAME@]DIR[=SHARE]}. A text that is the path
 * of something there is that path, whatever characters it has.
 *
 * @param name the dataset's in this run; null: its own
 * @param share of the samples, relative to the others'; null: none was given
 */
record DataFolder(String name, Path path, Double share) {
  static final String FORM = "[NAME@]DIR[=SHARE]";

  private static final Pattern NAMED = Pattern.compile("([\\w.-]+)@(.+)", Pattern.DOTALL);

  /**
   * Reads values of the option, each with one folder or several.
   *
   * @throws IllegalArgumentException if a share is no positive number
   */
  static List<DataFolder> list(List<String> values) {
    return values.stream()
        .flatMap(value -> PathList.split(value, DataFolder::isThere).stream())
        .map(DataFolder::of)
        .toList();
  }

  static DataFolder of(String item) {
    Matcher named = NAMED.matcher(item);
    if (Files.exists(Path.of(item)) || !named.matches()) {
      return unnamed(item);
    }
    DataFolder folder = unnamed(named.group(2));
    return new DataFolder(named.group(1), folder.path, folder.share);
  }

  private static boolean isThere(String item) {
    Matcher named = NAMED.matcher(item);
    return isThereUnnamed(item) || named.matches() && isThereUnnamed(named.group(2));
  }

  private static boolean isThereUnnamed(String item) {
    int separator = item.lastIndexOf('=');
    return Files.exists(Path.of(item))
        || separator > item.lastIndexOf(',') && Files.exists(Path.of(item.substring(0, separator)));
  }

  private static DataFolder unnamed(String item) {
    int separator = item.lastIndexOf('=');
    if (separator < 0 || Files.exists(Path.of(item))) {
      return new DataFolder(null, Path.of(item), null);
    }
    Path path = Path.of(item.substring(0, separator));
    try {
      double share = Double.parseDouble(item.substring(separator + 1));
      if (share > 0 && share < Double.POSITIVE_INFINITY) {
        return new DataFolder(null, path, share);
      }
    } catch (NumberFormatException e) {
      if (!Files.exists(path)) { // Then it is no share, but a part of a name that is missing.
        return new DataFolder(null, Path.of(item), null);
      }
    }
    throw new IllegalArgumentException(
        "--data must be " + FORM + " with a positive SHARE, found " + item);
  }

  /** The same from every working directory. */
  DataFolder absolute() {
    return new DataFolder(name, path.toAbsolutePath().normalize(), share);
  }

  /** As the option takes it. */
  @Override
  public String toString() {
    return (name == null ? "" : name + "@") + path + (share == null ? "" : "=" + share);
  }
}
