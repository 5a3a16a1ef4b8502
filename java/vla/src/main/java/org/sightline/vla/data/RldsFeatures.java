package org.sightline.vla.data;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * The schema in a TFDS {@code features.json}, flattened to the keys that records use: {@code
 * steps/observation/image_0}, {@code steps/action}, {@code episode_metadata/file_path}, …
 */
final class RldsFeatures {
  /** What a leaf of the schema holds. */
  enum Kind {
    TENSOR,
    IMAGE,
    TEXT,
    OTHER
  }

  /**
   * One leaf.
   *
   * @param shape of one step's value; -1 where the schema leaves a dimension open; empty for
   *     scalars
   * @param dtype as written in the schema, e.g. {@code float32}; empty for text
   * @param perStep whether a record holds one value per step
   */
  record Leaf(Kind kind, int[] shape, String dtype, boolean perStep) {
    String describe() {
      return kind.name().toLowerCase(java.util.Locale.ROOT)
          + (dtype.isEmpty() ? "" : " of " + dtype)
          + (shape.length == 0 ? "" : " " + Arrays.toString(shape));
    }
  }

  private final Path file;
  private final SortedMap<String, Leaf> leaves;

  private RldsFeatures(Path file, SortedMap<String, Leaf> leaves) {
    this.file = file;
    this.leaves = Collections.unmodifiableSortedMap(leaves);
  }

  /** Flattens a parsed schema; {@code file} is named in errors. */
  static RldsFeatures parse(Path file, JsonObject root) throws DatasetFormatException {
    SortedMap<String, Leaf> leaves = new TreeMap<>();
    try {
      collect(root, "", false, leaves);
    } catch (IllegalStateException
        | ClassCastException
        | NumberFormatException
        | UnsupportedOperationException e) {
      throw new DatasetFormatException(file + ": not a TFDS feature schema: " + e.getMessage());
    }
    return new RldsFeatures(file, leaves);
  }

  SortedMap<String, Leaf> leaves() {
    return leaves;
  }

  boolean has(String key) {
    return leaves.containsKey(key);
  }

  /** The leaf of a key, which must exist and be of a kind. */
  Leaf require(String key, Kind kind) throws DatasetFormatException {
    Leaf leaf = leaves.get(key);
    if (leaf == null) {
      throw new DatasetFormatException(
          file + ": no feature '" + key + "'; the dataset has " + leaves.keySet());
    }
    if (leaf.kind() != kind || !leaf.perStep()) {
      throw new DatasetFormatException(
          file
              + ": feature '"
              + key
              + "': found "
              + leaf.describe()
              + (leaf.perStep() ? "" : " once per episode")
              + ", expected "
              + kind.name().toLowerCase(java.util.Locale.ROOT)
              + " once per step");
    }
    return leaf;
  }

  /** The keys of all images, sorted. */
  List<String> imageKeys() {
    return leaves.entrySet().stream()
        .filter(e -> e.getValue().kind() == Kind.IMAGE)
        .map(java.util.Map.Entry::getKey)
        .toList();
  }

  private static void collect(
      JsonObject node, String prefix, boolean perStep, SortedMap<String, Leaf> leaves) {
    if (node.has("featuresDict")) {
      JsonObject children =
          node.getAsJsonObject("featuresDict").getAsJsonObject("features").getAsJsonObject();
      for (var child : children.entrySet()) {
        String key = prefix.isEmpty() ? child.getKey() : prefix + "/" + child.getKey();
        collect(child.getValue().getAsJsonObject(), key, perStep, leaves);
      }
    } else if (node.has("sequence")) {
      collect(node.getAsJsonObject("sequence").getAsJsonObject("feature"), prefix, true, leaves);
    } else if (node.has("tensor")) {
      leaves.put(prefix, leaf(Kind.TENSOR, node.getAsJsonObject("tensor"), perStep));
    } else if (node.has("image")) {
      leaves.put(prefix, leaf(Kind.IMAGE, node.getAsJsonObject("image"), perStep));
    } else {
      Kind kind = node.has("text") ? Kind.TEXT : Kind.OTHER;
      leaves.put(prefix, new Leaf(kind, new int[0], "", perStep));
    }
  }

  private static Leaf leaf(Kind kind, JsonObject description, boolean perStep) {
    List<Integer> dimensions = new ArrayList<>();
    JsonObject shape = description.getAsJsonObject("shape");
    if (shape != null && shape.has("dimensions")) {
      for (JsonElement dimension : shape.getAsJsonArray("dimensions")) {
        dimensions.add(dimension.getAsInt());
      }
    }
    JsonElement dtype = description.get("dtype");
    return new Leaf(
        kind,
        dimensions.stream().mapToInt(Integer::intValue).toArray(),
        dtype == null ? "" : dtype.getAsString(),
        perStep);
  }
}
