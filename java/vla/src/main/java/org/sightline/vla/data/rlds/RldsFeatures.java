package org.sightline.vla.data.rlds;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;
import org.sightline.formats.tfrecord.DatasetFormatException;

/**
 * The schema in a TFDS {@code features.json}, flattened to the keys that records use: {@code
 * steps/observation/image_0}, {@code steps/action}, {@code episode_metadata/file_path}, …
 */
record RldsFeatures(Path file, SortedMap<String, RldsFeatures.Leaf> leaves) {
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

  /** TensorFlow's name of the type, and NumPy's. */
  private static final Set<String> STRINGS = Set.of("string", "object");

  /**
   * Reads and flattens a schema.
   *
   * @throws FormatException if it is none; the message names the place in it
   */
  static RldsFeatures read(Path file) throws IOException {
    SortedMap<String, Leaf> leaves = new TreeMap<>();
    collect(JsonFields.read(file), "", false, leaves);
    return new RldsFeatures(file, Collections.unmodifiableSortedMap(leaves));
  }

  boolean has(String key) {
    return leaves.containsKey(key);
  }

  /** As {@link #require}; a plain tensor of strings has the same bytes and will do as well. */
  void requireBytes(String key, Kind kind) throws DatasetFormatException {
    Leaf leaf = leaves.get(key);
    boolean strings =
        leaf != null
            && leaf.kind() == Kind.TENSOR
            && STRINGS.contains(leaf.dtype())
            && Arrays.stream(leaf.shape()).allMatch(size -> size == 1);
    require(key, strings ? Kind.TENSOR : kind);
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
          "%s: feature '%s': found %s%s, expected %s once per step"
              .formatted(
                  file,
                  key,
                  leaf.describe(),
                  leaf.perStep() ? "" : " once per episode",
                  kind.name().toLowerCase(java.util.Locale.ROOT)));
    }
    return leaf;
  }

  private static void collect(
      JsonFields node, String prefix, boolean perStep, SortedMap<String, Leaf> leaves)
      throws FormatException {
    if (node.has("featuresDict")) {
      JsonFields children = node.object("featuresDict").object("features");
      for (String child : children.keys()) {
        String key = prefix.isEmpty() ? child : prefix + "/" + child;
        collect(children.object(child), key, perStep, leaves);
      }
    } else if (node.has("sequence")) {
      collect(node.object("sequence").object("feature"), prefix, true, leaves);
    } else if (node.has("tensor")) {
      leaves.put(prefix, leaf(Kind.TENSOR, node.object("tensor"), perStep));
    } else if (node.has("image")) {
      leaves.put(prefix, leaf(Kind.IMAGE, node.object("image"), perStep));
    } else {
      Kind kind = node.has("text") ? Kind.TEXT : Kind.OTHER;
      leaves.put(prefix, new Leaf(kind, new int[0], "", perStep));
    }
  }

  private static Leaf leaf(Kind kind, JsonFields description, boolean perStep)
      throws FormatException {
    List<Long> dimensions = List.of();
    if (description.has("shape") && description.object("shape").has("dimensions")) {
      JsonFields shape = description.object("shape");
      dimensions = shape.longs("dimensions");
      if (!dimensions.stream().allMatch(size -> size >= -1 && size <= Integer.MAX_VALUE)) {
        throw shape.wrong("dimensions", "sizes from 0 to 2^31 - 1, -1 where one is open");
      }
    }
    return new Leaf(
        kind,
        dimensions.stream().mapToInt(Long::intValue).toArray(),
        description.text("dtype", ""),
        perStep);
  }
}
