package org.sightline.formats.tfrecord;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

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
 * Parsing follows protobuf's rules: unknown fields, and known ones of another wire type, are
 * skipped, a repeated key or a changed oneof takes the last value, repeated lists are concatenated.
 * Serialisation sorts the keys, so equal examples have equal bytes.
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
      if (example.field() == 1 && example.wireType() == ProtoReader.BYTES) {
        ProtoReader map = example.message();
        while (map.nextField()) {
          if (map.field() == 1 && map.wireType() == ProtoReader.BYTES) {
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
    Values values = new Values();
    while (entry.nextField()) {
      if (entry.field() == 1 && entry.wireType() == ProtoReader.BYTES) {
        key = entry.utf8();
      } else if (entry.field() == 2 && entry.wireType() == ProtoReader.BYTES) {
        values.parse(entry.message());
      } else {
        entry.skip();
      }
    }
    features.put(key, values.feature());
  }

  /** A feature while it is read, in time that is linear however many pieces it comes in. */
  private static final class Values {
    private static final int BYTES_LIST = 1;
    private static final int FLOAT_LIST = 2;
    private static final int INT64_LIST = 3;

    private int kind;
    private List<byte[]> byteStrings;
    private IntStream.Builder floatBits;
    private LongStream.Builder ints;

    void parse(ProtoReader feature) throws DatasetFormatException {
      while (feature.nextField()) {
        int field = feature.field();
        if (field > INT64_LIST || feature.wireType() != ProtoReader.BYTES) {
          feature.skip();
          continue;
        }
        if (kind != field) {
          kind = field;
          byteStrings = new ArrayList<>();
          floatBits = IntStream.builder();
          ints = LongStream.builder();
        }
        ProtoReader list = feature.message();
        while (list.nextField()) {
          parseValue(list);
        }
      }
    }

    private void parseValue(ProtoReader list) throws DatasetFormatException {
      int single =
          switch (kind) {
            case FLOAT_LIST -> ProtoReader.FIXED32;
            case INT64_LIST -> ProtoReader.VARINT;
            default -> ProtoReader.BYTES;
          };
      if (list.field() == 1 && list.wireType() == single) {
        add(list);
      } else if (list.field() == 1 && list.wireType() == ProtoReader.BYTES) {
        ProtoReader packed = list.message();
        while (packed.hasMore()) {
          add(packed);
        }
      } else {
        list.skip();
      }
    }

    private void add(ProtoReader values) throws DatasetFormatException {
      switch (kind) {
        case FLOAT_LIST -> floatBits.add(values.fixed32());
        case INT64_LIST -> ints.add(values.varint());
        default -> byteStrings.add(values.byteString());
      }
    }

    TfFeature feature() {
      return switch (kind) {
        case BYTES_LIST -> new TfFeature.ByteStrings(byteStrings);
        case FLOAT_LIST -> {
          int[] bits = floatBits.build().toArray();
          float[] values = new float[bits.length];
          for (int i = 0; i < bits.length; i++) {
            values[i] = Float.intBitsToFloat(bits[i]);
          }
          yield new TfFeature.Floats(values);
        }
        case INT64_LIST -> new TfFeature.Ints(ints.build().toArray());
        default -> new TfFeature.Unset();
      };
    }
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
