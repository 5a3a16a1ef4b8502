package org.sightline.formats.tfrecord;

import java.util.List;

/** One value of a {@link TfExample}: {@code tf.train.Feature}, a oneof of three list types. */
public sealed interface TfFeature {
  /** Number of elements. */
  int size();

  /** What the feature is, for messages, e.g. {@code "float list of 70"}. */
  default String describe() {
    if (this instanceof Unset) {
      return "an empty feature";
    }
    String kind =
        this instanceof ByteStrings ? "bytes" : this instanceof Floats ? "float" : "int64";
    return "a list of " + size() + " " + kind + " values";
  }

  /** A {@code BytesList}: encoded images, UTF-8 text. */
  record ByteStrings(List<byte[]> values) implements TfFeature {
    public ByteStrings {
      values = List.copyOf(values);
    }

    @Override
    public int size() {
      return values.size();
    }
  }

  /** A {@code FloatList}. */
  record Floats(float[] values) implements TfFeature {
    @Override
    public int size() {
      return values.length;
    }
  }

  /** An {@code Int64List}: integers and booleans. */
  record Ints(long[] values) implements TfFeature {
    @Override
    public int size() {
      return values.length;
    }
  }

  /** A feature in which no list was set; TensorFlow writes empty lists this way. */
  record Unset() implements TfFeature {
    @Override
    public int size() {
      return 0;
    }
  }
}
