package org.sightline.vla.finetune;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Predicate;

/** Values of an option separated by commas, where names of files may have commas too. */
public final class PathList {
  private PathList() {}

  /** The paths in the values of an option. */
  public static List<Path> of(List<Path> values) {
    return values.stream()
        .flatMap(value -> split(value.toString(), item -> Files.exists(Path.of(item))).stream())
        .map(Path::of)
        .toList();
  }

  /** Splits at commas, but takes the longest part that names something there for one item. */
  static List<String> split(String value, Predicate<String> isThere) {
    List<String> pieces = Arrays.asList(value.split(",", -1));
    List<String> items = new ArrayList<>();
    for (int i = 0; i < pieces.size(); ) {
      int end = pieces.size();
      while (end > i + 1 && !isThere.test(String.join(",", pieces.subList(i, end)))) {
        end--;
      }
      items.add(String.join(",", pieces.subList(i, end)));
      i = end;
    }
    return items;
  }
}
