package org.sightline.formats.tfrecord;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;

/** Writes protobuf wire format, as far as TensorFlow's records need it. Not thread-safe. */
public final class ProtoWriter {
  private static final int VARINT = 0;
  private static final int FIXED64 = 1;
  private static final int BYTES = 2;
  private static final int FIXED32 = 5;

  private final ByteArrayOutputStream out = new ByteArrayOutputStream();

  /** A bare varint, for packed lists. */
  public ProtoWriter varint(long value) {
    long rest = value;
    while ((rest & ~0x7fL) != 0) {
      out.write((int) (rest & 0x7f | 0x80));
      rest >>>= 7;
    }
    out.write((int) rest);
    return this;
  }

  /** A bare float, for packed lists. */
  public ProtoWriter fixed32(float value) {
    littleEndian(Float.floatToRawIntBits(value), Float.BYTES);
    return this;
  }

  /** A field of type int64, int32, bool or enum. */
  public ProtoWriter varint(int field, long value) {
    return tag(field, VARINT).varint(value);
  }

  /** A field of type float. */
  public ProtoWriter float32(int field, float value) {
    return tag(field, FIXED32).fixed32(value);
  }

  /** A field of type double. */
  public ProtoWriter float64(int field, double value) {
    tag(field, FIXED64).littleEndian(Double.doubleToRawLongBits(value), Double.BYTES);
    return this;
  }

  /** A length-delimited field: string, bytes, nested message or packed list. */
  public ProtoWriter bytes(int field, byte[] value) {
    tag(field, BYTES).varint(value.length);
    out.writeBytes(value);
    return this;
  }

  /** A field of type string. */
  public ProtoWriter string(int field, String value) {
    return bytes(field, value.getBytes(StandardCharsets.UTF_8));
  }

  /** What was written. */
  public byte[] toByteArray() {
    return out.toByteArray();
  }

  private ProtoWriter tag(int field, int wireType) {
    return varint((long) field << 3 | wireType);
  }

  private void littleEndian(long bits, int bytes) {
    for (int i = 0; i < bytes; i++) {
      out.write((int) (bits >>> 8 * i));
    }
  }
}
