package org.sightline.formats.tfrecord;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/**
 * Walks the fields of one protobuf message in a byte array. Only what {@code tf.train.Example}
 * needs: varints, fixed 32-bit values, length-delimited fields, and skipping anything else. Every
 * read is bounds-checked; malformed input is a {@link DatasetFormatException}, never an index
 * error.
 */
final class ProtoReader {
  static final int VARINT = 0;
  static final int FIXED64 = 1;
  static final int BYTES = 2;
  static final int START_GROUP = 3;
  static final int END_GROUP = 4;
  static final int FIXED32 = 5;

  /** Deepest nesting of unknown groups that is followed, as in protobuf's own parsers. */
  private static final int MAX_GROUP_DEPTH = 100;

  private final byte[] bytes;
  private final int end;
  private int position;
  private int field;
  private int wireType;

  ProtoReader(byte[] bytes) {
    this(bytes, 0, bytes.length);
  }

  private ProtoReader(byte[] bytes, int start, int end) {
    this.bytes = bytes;
    this.position = start;
    this.end = end;
  }

  /** Moves to the next field; false at the end of the message. */
  boolean nextField() throws DatasetFormatException {
    if (position == end) {
      return false;
    }
    int start = position;
    long tag = varint();
    field = (int) (tag >>> 3);
    wireType = (int) (tag & 7);
    if (tag >>> 32 != 0 || field == 0) {
      throw malformed(start, "invalid field tag " + Long.toUnsignedString(tag));
    }
    return true;
  }

  int field() {
    return field;
  }

  int wireType() {
    return wireType;
  }

  boolean hasMore() {
    return position < end;
  }

  int remaining() {
    return end - position;
  }

  long varint() throws DatasetFormatException {
    long value = 0;
    int start = position;
    for (int shift = 0; shift < 70; shift += 7) {
      if (position == end) {
        throw malformed(start, "truncated varint");
      }
      byte b = bytes[position++];
      value |= (long) (b & 0x7f) << shift;
      if (b >= 0) {
        return value;
      }
    }
    throw malformed(start, "varint longer than 10 bytes");
  }

  int fixed32() throws DatasetFormatException {
    int start = require(4, "32-bit value");
    return bytes[start] & 0xff
        | (bytes[start + 1] & 0xff) << 8
        | (bytes[start + 2] & 0xff) << 16
        | (bytes[start + 3] & 0xff) << 24;
  }

  byte[] byteString() throws DatasetFormatException {
    int length = length();
    int start = require(length, "byte string");
    byte[] copy = new byte[length];
    System.arraycopy(bytes, start, copy, 0, length);
    return copy;
  }

  String utf8() throws DatasetFormatException {
    int length = length();
    int start = require(length, "string");
    try {
      return StandardCharsets.UTF_8
          .newDecoder()
          .decode(ByteBuffer.wrap(bytes, start, length))
          .toString();
    } catch (CharacterCodingException e) {
      throw malformed(start, "string of " + length + " bytes is not UTF-8");
    }
  }

  /** A reader over the nested message or packed list at the current field. */
  ProtoReader message() throws DatasetFormatException {
    int length = length();
    int start = require(length, "message");
    return new ProtoReader(bytes, start, start + length);
  }

  /** Skips the value of the current field. */
  void skip() throws DatasetFormatException {
    int depth = 0;
    int[] open = new int[MAX_GROUP_DEPTH];
    do {
      switch (wireType) {
        case VARINT -> varint();
        case FIXED64 -> require(8, "64-bit value");
        case BYTES -> require(length(), "field " + field);
        case FIXED32 -> require(4, "32-bit value");
        case START_GROUP -> {
          if (depth == MAX_GROUP_DEPTH) {
            throw malformed(position, "groups nested deeper than " + MAX_GROUP_DEPTH);
          }
          open[depth++] = field;
        }
        case END_GROUP -> {
          if (--depth < 0 || open[depth] != field) {
            throw malformed(position, "end of a group that never began");
          }
        }
        default -> throw malformed(position, "unknown wire type " + wireType);
      }
      if (depth > 0 && !nextField()) {
        throw malformed(position, "unfinished group");
      }
    } while (depth > 0);
  }

  DatasetFormatException malformed(int at, String problem) {
    return new DatasetFormatException("malformed protobuf at byte " + at + ": " + problem);
  }

  private int length() throws DatasetFormatException {
    int start = position;
    long length = varint();
    if (length < 0 || length > end - position) {
      throw malformed(
          start,
          "length " + Long.toUnsignedString(length) + ", only " + (end - position) + " bytes left");
    }
    return (int) length;
  }

  /** Consumes {@code count} bytes and returns where they start. */
  private int require(int count, String what) throws DatasetFormatException {
    if (count > end - position) {
      throw malformed(
          position, "truncated " + what + ": " + count + " bytes wanted, " + remaining() + " left");
    }
    int start = position;
    position += count;
    return start;
  }
}
