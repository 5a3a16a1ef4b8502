package org.sightline.formats.tfrecord;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.CodedOutputStream;
import java.io.IOException;
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
 * <p>The wire format is protobuf (tensorflow/core/example/{example,feature}.proto):
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
  // Tags: 8 · number of the field + its wire type, varint 0, length-delimited 2, 32 bits 5.
  private static final int ONE = 10;
  private static final int TWO = 18;
  private static final int ONE_VARINT = 8;
  private static final int ONE_FIXED32 = 13;
  private static final int BYTES_LIST = 10;
  private static final int FLOAT_LIST = 18;
  private static final int INT64_LIST = 26;

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
    CodedInputStream in = CodedInputStream.newInstance(bytes);
    try {
      in.pushLimit(bytes.length);
      Protobuf.fields(
          in,
          field ->
              field == ONE
                  && Protobuf.message(in, entry -> entry == ONE && parseEntry(in, features)));
    } catch (IOException e) {
      // What protobuf says after its first sentence is what it supposes.
      throw new DatasetFormatException(
          "malformed protobuf at byte %d: %s"
              .formatted(in.getTotalBytesRead(), e.getMessage().split("\\.")[0]));
    }
    return new TfExample(features);
  }

  private static boolean parseEntry(CodedInputStream in, Map<String, TfFeature> features)
      throws IOException {
    String[] key = {""};
    Values values = new Values(in);
    Protobuf.message(
        in,
        field -> {
          switch (field) {
            case ONE -> key[0] = in.readStringRequireUtf8();
            case TWO -> Protobuf.message(in, values::parse);
            default -> {
              return false;
            }
          }
          return true;
        });
    features.put(key[0], values.feature());
    return true;
  }

  /** A feature while it is read, in time that is linear however many pieces it comes in. */
  private static final class Values {
    private final CodedInputStream in;
    private int kind;
    private List<byte[]> byteStrings;
    private IntStream.Builder floatBits;
    private LongStream.Builder ints;

    Values(CodedInputStream in) {
      this.in = in;
    }

    boolean parse(int list) throws IOException {
      if (list != BYTES_LIST && list != FLOAT_LIST && list != INT64_LIST) {
        return false;
      }
      if (kind != list) {
        kind = list;
        byteStrings = new ArrayList<>();
        floatBits = IntStream.builder();
        ints = LongStream.builder();
      }
      return Protobuf.message(in, this::parseValue);
    }

    private boolean parseValue(int field) throws IOException {
      int single =
          switch (kind) {
            case FLOAT_LIST -> ONE_FIXED32;
            case INT64_LIST -> ONE_VARINT;
            default -> ONE;
          };
      if (field == single) {
        add();
      } else if (field == ONE) {
        int outer = in.pushLimit(Protobuf.length(in));
        while (in.getBytesUntilLimit() > 0) {
          add();
        }
        in.popLimit(outer);
      } else {
        return false;
      }
      return true;
    }

    private void add() throws IOException {
      switch (kind) {
        case FLOAT_LIST -> floatBits.add(in.readFixed32());
        case INT64_LIST -> ints.add(in.readInt64());
        default -> byteStrings.add(in.readRawBytes(Protobuf.length(in)));
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

  /** The protobuf bytes. */
  public byte[] serialize() {
    byte[] map =
        Protobuf.message(
            out -> {
              for (Map.Entry<String, TfFeature> feature : features.entrySet()) {
                byte[] value = serialize(feature.getValue());
                out.writeByteArray(
                    1,
                    Protobuf.message(
                        entry -> {
                          entry.writeString(1, feature.getKey());
                          entry.writeByteArray(2, value);
                        }));
              }
            });
    return Protobuf.message(out -> out.writeByteArray(1, map));
  }

  private static byte[] serialize(TfFeature feature) {
    if (feature instanceof TfFeature.Unset) {
      return new byte[0];
    }
    byte[] list = Protobuf.message(out -> writeValues(feature, out));
    int number =
        feature instanceof TfFeature.ByteStrings ? 1 : feature instanceof TfFeature.Floats ? 2 : 3;
    return Protobuf.message(out -> out.writeByteArray(number, list));
  }

  private static void writeValues(TfFeature feature, CodedOutputStream out) throws IOException {
    if (feature instanceof TfFeature.ByteStrings bytes) {
      for (byte[] value : bytes.values()) {
        out.writeByteArray(1, value);
      }
    } else if (feature.size() > 0) {
      out.writeByteArray(1, Protobuf.message(packed -> writePacked(feature, packed)));
    }
  }

  private static void writePacked(TfFeature feature, CodedOutputStream out) throws IOException {
    if (feature instanceof TfFeature.Floats floats) {
      for (float value : floats.values()) {
        out.writeFloatNoTag(value);
      }
    } else {
      for (long value : ((TfFeature.Ints) feature).values()) {
        out.writeInt64NoTag(value);
      }
    }
  }
}
