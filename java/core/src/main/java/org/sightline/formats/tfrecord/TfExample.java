package org.sightline.formats.tfrecord;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * A {@code tf.train.Example}: named lists of bytes, floats or integers, the payload of a TFRecord.
 *
 * <p>The wire format is protobuf (tensorflow/core/example/{example,feature}.proto), read and
 * written by hand since four small messages do not deserve a code generator:
 *
 * <pre>
 * Example    { Features features = 1 }
 * Features   { map&lt;string, Feature&gt; feature = 1 }     entry: key = 1, value = 2
 * Feature    { oneof: BytesList = 1 | FloatList = 2 | Int64List = 3 }
 * BytesList  { repeated bytes value = 1 }
 * FloatList  { repeated float value = 1 [packed] }    unpacked lists are read as well
 * Int64List  { repeated int64 value = 1 [packed] }
 * </pre>
 *
 * Parsing follows protobuf's rules: unknown fields are skipped, a repeated key or a changed oneof
 * takes the last value, repeated lists are concatenated. Serialisation sorts the keys, so equal
 * examples have equal bytes.
 */
public final class TfExample {
  private final SortedMap<String, TfFeature> features;

  /** An example of the given features. */
  public TfExample(Map<String, TfFeature> features) {
    this.features = Collections.unmodifiableSortedMap(new TreeMap<>(features));
  }

  /** The features by name, sorted. */
  public SortedMap<String, TfFeature> features() {
    return features;
  }

  /**
   * Parses serialised bytes.
   *
   * @throws DatasetFormatException on malformed input; the message names the byte position
   */
  public static TfExample parse(byte[] bytes) throws DatasetFormatException {
    Map<String, TfFeature> features = new TreeMap<>();
    ProtoReader example = new ProtoReader(bytes);
    while (example.nextField()) {
      if (example.field() == 1) {
        ProtoReader map = example.message();
        while (map.nextField()) {
          if (map.field() == 1) {
            parseEntry(map.message(), features);
          } else {
            map.skip();
          }
        }
      } else {
        example.skip();
      }
    }
    return new TfExample(features);
  }

  /** The protobuf bytes. */
  public byte[] serialize() {
    ProtoWriter map = new ProtoWriter();
    features.forEach(
        (name, feature) ->
            map.bytes(
                1,
                new ProtoWriter()
                    .bytes(1, name.getBytes(StandardCharsets.UTF_8))
                    .bytes(2, serialize(feature))
                    .toByteArray()));
    return new ProtoWriter().bytes(1, map.toByteArray()).toByteArray();
  }

  private static void parseEntry(ProtoReader entry, Map<String, TfFeature> features)
      throws DatasetFormatException {
    String key = "";
    TfFeature value = new TfFeature.Unset();
    while (entry.nextField()) {
      if (entry.field() == 1 && entry.wireType() == ProtoReader.BYTES) {
        key = entry.utf8();
      } else if (entry.field() == 2) {
        value = parseFeature(entry.message(), value);
      } else {
        entry.skip();
      }
    }
    features.put(key, value);
  }

  private static TfFeature parseFeature(ProtoReader feature, TfFeature before)
      throws DatasetFormatException {
    TfFeature value = before;
    while (feature.nextField()) {
      switch (feature.field()) {
        case 1 -> value = parseByteStrings(feature.message(), value);
        case 2 -> value = parseFloats(feature.message(), value);
        case 3 -> value = parseInts(feature.message(), value);
        default -> feature.skip();
      }
    }
    return value;
  }

  private static TfFeature parseByteStrings(ProtoReader list, TfFeature before)
      throws DatasetFormatException {
    List<byte[]> values =
        new ArrayList<>(before instanceof TfFeature.ByteStrings b ? b.values() : List.of());
    while (list.nextField()) {
      if (list.field() == 1 && list.wireType() == ProtoReader.BYTES) {
        values.add(list.byteString());
      } else {
        list.skip();
      }
    }
    return new TfFeature.ByteStrings(values);
  }

  private static TfFeature parseFloats(ProtoReader list, TfFeature before)
      throws DatasetFormatException {
    float[] values = before instanceof TfFeature.Floats f ? f.values() : new float[0];
    int count = values.length;
    while (list.nextField()) {
      if (list.field() == 1 && list.wireType() == ProtoReader.BYTES) {
        ProtoReader packed = list.message();
        values = Arrays.copyOf(values, Math.addExact(count, (packed.remaining() + 3) / 4));
        while (packed.hasMore()) {
          values[count++] = packed.fixed32();
        }
      } else if (list.field() == 1 && list.wireType() == ProtoReader.FIXED32) {
        if (count == values.length) {
          values = Arrays.copyOf(values, 2 * count + 8);
        }
        values[count++] = list.fixed32();
      } else {
        list.skip();
      }
    }
    return new TfFeature.Floats(Arrays.copyOf(values, count));
  }

  private static TfFeature parseInts(ProtoReader list, TfFeature before)
      throws DatasetFormatException {
    long[] values = before instanceof TfFeature.Ints i ? i.values() : new long[0];
    int count = values.length;
    while (list.nextField()) {
      if (list.field() == 1 && list.wireType() == ProtoReader.BYTES) {
        ProtoReader packed = list.message();
        // A varint takes at least one byte, so the remaining bytes bound the number of values.
        values = Arrays.copyOf(values, Math.addExact(count, packed.remaining()));
        while (packed.hasMore()) {
          values[count++] = packed.varint();
        }
      } else if (list.field() == 1 && list.wireType() == ProtoReader.VARINT) {
        if (count == values.length) {
          values = Arrays.copyOf(values, 2 * count + 8);
        }
        values[count++] = list.varint();
      } else {
        list.skip();
      }
    }
    return new TfFeature.Ints(Arrays.copyOf(values, count));
  }

  private static byte[] serialize(TfFeature feature) {
    ProtoWriter list = new ProtoWriter();
    if (feature instanceof TfFeature.ByteStrings bytes) {
      bytes.values().forEach(value -> list.bytes(1, value));
      return new ProtoWriter().bytes(1, list.toByteArray()).toByteArray();
    }
    if (feature instanceof TfFeature.Unset || feature.size() == 0) {
      return emptyList(feature);
    }
    ProtoWriter packed = new ProtoWriter();
    if (feature instanceof TfFeature.Floats floats) {
      for (float value : floats.values()) {
        packed.fixed32(value);
      }
      return new ProtoWriter()
          .bytes(2, list.bytes(1, packed.toByteArray()).toByteArray())
          .toByteArray();
    }
    for (long value : ((TfFeature.Ints) feature).values()) {
      packed.varint(value);
    }
    return new ProtoWriter()
        .bytes(3, list.bytes(1, packed.toByteArray()).toByteArray())
        .toByteArray();
  }

  private static byte[] emptyList(TfFeature feature) {
    if (feature instanceof TfFeature.Unset) {
      return new byte[0];
    }
    return new ProtoWriter()
        .bytes(feature instanceof TfFeature.Floats ? 2 : 3, new byte[0])
        .toByteArray();
  }
}
