package org.sightline.vla.data.rlds;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.json.JsonFields;
import org.sightline.formats.tfrecord.DatasetFormatException;

/**
 * {@link ActionStatistics} in the JSON form of OpenVLA's {@code dataset_statistics.json}:
 *
 * <pre>
 * {"DATASET": {"action": {"mean": [7], "std": [7], "max": [7], "min": [7], "q01": [7], "q99": [7],
 *                         "mask": [7]},
 *              "num_transitions": 250, "num_trajectories": 25}}
 * </pre>
 *
 * The {@code norm_stats} of a checkpoint's {@code config.json} has the same form one level down and
 * is read too. Other entries, such as {@code proprio}, are ignored.
 */
public final class StatisticsJson {
  /** Of an action: no robot has more. */
  private static final int MAX_DIMENSIONS = 1000;

  private static final Gson GSON =
      new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().create();

  private StatisticsJson() {}

  /** Writes the statistics of several datasets, by name. */
  public static void write(Path file, Map<String, ActionStatistics> statistics) throws IOException {
    JsonObject root = new JsonObject();
    statistics.forEach((dataset, values) -> root.add(dataset, entry(values)));
    AtomicFile.writeText(file, GSON.toJson(root) + "\n");
  }

  private static JsonObject entry(ActionStatistics statistics) {
    JsonObject action = new JsonObject();
    action.add("mean", GSON.toJsonTree(statistics.mean()));
    action.add("std", GSON.toJsonTree(statistics.std()));
    action.add("max", GSON.toJsonTree(statistics.max()));
    action.add("min", GSON.toJsonTree(statistics.min()));
    action.add("q01", GSON.toJsonTree(statistics.q01()));
    action.add("q99", GSON.toJsonTree(statistics.q99()));
    action.add("mask", GSON.toJsonTree(statistics.mask()));
    JsonObject entry = new JsonObject();
    entry.add("action", action);
    entry.addProperty("num_transitions", statistics.transitions());
    entry.addProperty("num_trajectories", statistics.trajectories());
    return entry;
  }

  /**
   * Reads the statistics of one dataset.
   *
   * @param dataset its name, or null if the file holds only one
   * @throws FormatException naming the file, the key, what was found and what was expected
   * @throws DatasetFormatException if the file does not hold the dataset
   */
  public static ActionStatistics read(Path file, String dataset) throws IOException {
    JsonFields root = root(file);
    String name = dataset;
    if (name == null) {
      if (root.keys().size() != 1) {
        throw new DatasetFormatException(
            file + ": found statistics of " + root.keys() + ", expected a choice of one");
      }
      name = root.keys().iterator().next();
    }
    if (!root.has(name)) {
      throw new DatasetFormatException(
          file + ": found statistics of " + root.keys() + ", expected '" + name + "'");
    }
    return read(root.object(name));
  }

  /**
   * Reads the statistics of all datasets, by name.
   *
   * @throws FormatException as {@link #read}
   */
  public static Map<String, ActionStatistics> readAll(Path file) throws IOException {
    JsonFields root = root(file);
    Map<String, ActionStatistics> all = new LinkedHashMap<>();
    for (String name : root.keys()) {
      all.put(name, read(root.object(name)));
    }
    return all;
  }

  private static JsonFields root(Path file) throws IOException {
    JsonFields root = JsonFields.read(file);
    return root.has("norm_stats") ? root.object("norm_stats") : root;
  }

  private static ActionStatistics read(JsonFields entry) throws FormatException {
    JsonFields action = entry.object("action");
    int size = action.numbers("mean").size();
    if (size > MAX_DIMENSIONS) {
      throw action.wrong("mean", "at most " + MAX_DIMENSIONS + " numbers, one a dimension");
    }
    try {
      return new ActionStatistics(
          doubles(action, "mean", size),
          doubles(action, "std", size),
          doubles(action, "min", size),
          doubles(action, "max", size),
          doubles(action, "q01", size),
          doubles(action, "q99", size),
          mask(action, size),
          count(entry, "num_transitions"),
          count(entry, "num_trajectories"));
    } catch (IllegalArgumentException e) {
      throw new FormatException(entry.file(), entry.prefix() + "action", e.getMessage());
    }
  }

  /** A whole number, also where it is written as 250.0; 0 if there is none. */
  private static long count(JsonFields entry, String key) throws FormatException {
    double count = entry.number(key, 0);
    if (count < 0 || count > 1L << 53 || count != Math.rint(count)) {
      throw entry.wrong(key, "an integer from 0 to 2^53");
    }
    return (long) count;
  }

  private static double[] doubles(JsonFields action, String key, int size) throws FormatException {
    List<Double> values = action.numbers(key);
    if (values.size() != size) {
      throw action.wrong(key, size + " numbers, as many as mean has");
    }
    return values.stream().mapToDouble(Double::doubleValue).toArray();
  }

  /** Old files have no mask: then all dimensions but the last, the gripper, are normalised. */
  private static boolean[] mask(JsonFields action, int size) throws FormatException {
    boolean[] mask = new boolean[size];
    if (!action.has("mask")) {
      Arrays.fill(mask, 0, Math.max(0, size - 1), true);
      return mask;
    }
    List<Boolean> values = action.bools("mask");
    if (values.size() != size) {
      throw action.wrong("mask", size + " booleans, as many as mean has numbers");
    }
    for (int i = 0; i < size; i++) {
      mask[i] = values.get(i);
    }
    return mask;
  }
}
