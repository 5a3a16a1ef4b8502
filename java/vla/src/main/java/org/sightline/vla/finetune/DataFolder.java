package org.sightline.vla.finetune;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.sightline.vla.data.rlds.CorruptRecords;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.rlds.RldsKeys;

/**
 * A folder of data as {@code finetune --data} names it: {@code [NAME@]DIR[=SHARE]}. A text that is
 * the path of something there is that path, whatever characters it has.
 *
 * @param name the dataset's in this run; null: its own
 * @param share of the samples, relative to the others'; null: none was given
 */
public record DataFolder(String name, Path path, Double share) {
  public static final String FORM = "[NAME@]DIR[=SHARE]";

  private static final Pattern NAMED = Pattern.compile("([\\w.-]+)@(.+)", Pattern.DOTALL);

  /**
   * Reads values of the option, each with one folder or several.
   *
   * @throws IllegalArgumentException if a share is no positive number
   */
  public static List<DataFolder> list(List<String> values) {
    return values.stream()
        .flatMap(value -> PathList.split(value, DataFolder::isThere).stream())
        .map(DataFolder::of)
        .toList();
  }

  /** Reads one. */
  public static DataFolder of(String item) {
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
        "data must be " + FORM + " with a positive SHARE, found " + item);
  }

  /** A folder under its dataset's own name, and without a share. */
  public static DataFolder of(Path folder) {
    return new DataFolder(null, folder, null);
  }

  /**
   * Opens a split of it as all commands do.
   *
   * @param camera which of the data's images the policy sees
   * @param skipCorrupt whether records that cannot be read are left out, and counted
   * @param keepUnlabelled whether steps without an instruction count
   */
  public RldsDataset open(String split, String camera, boolean skipCorrupt, boolean keepUnlabelled)
      throws IOException {
    RldsKeys keys = RldsKeys.BRIDGE.withCamera(camera);
    CorruptRecords corrupt = skipCorrupt ? CorruptRecords.SKIP : CorruptRecords.FAIL;
    RldsDataset dataset = RldsDataset.open(path, split, keys, corrupt);
    dataset = name == null ? dataset : dataset.named(name);
    return keepUnlabelled ? dataset.keepingUnlabelled() : dataset;
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
