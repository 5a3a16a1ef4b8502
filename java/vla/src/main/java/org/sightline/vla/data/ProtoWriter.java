package org.sightline.vla.data;

import java.io.ByteArrayOutputStream;

/** Writes protobuf wire format; the counterpart of {@link ProtoReader}. */
final class ProtoWriter {
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();

  ProtoWriter varint(long value) {
    long rest = value;
    while ((rest & ~0x7fL) != 0) {
      out.write((int) (rest & 0x7f | 0x80));
      rest >>>= 7;
    }
    out.write((int) rest);
    return this;
  }

  ProtoWriter fixed32(float value) {
    int bits = Float.floatToRawIntBits(value);
    out.write(bits);
    out.write(bits >>> 8);
    out.write(bits >>> 16);
    out.write(bits >>> 24);
    return this;
  }

  /** A length-delimited field: string, bytes, nested message or packed list. */
  ProtoWriter bytes(int field, byte[] value) {
    varint((long) field << 3 | ProtoReader.BYTES).varint(value.length);
    out.writeBytes(value);
    return this;
  }

  byte[] toByteArray() {
    return out.toByteArray();
  }
}
