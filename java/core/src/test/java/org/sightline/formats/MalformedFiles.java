package org.sightline.formats;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** Builds safetensors files from raw parts, well formed or not. */
public final class MalformedFiles {
  private MalformedFiles() {}

  /** Length prefix, header and data as they are given. */
  public static byte[] file(String header, int... data) {
    byte[] text = header.getBytes(StandardCharsets.UTF_8);
    return raw(text.length, text, data);
  }

  public static byte[] raw(long length, byte[] header, int... data) {
    ByteBuffer buffer =
        ByteBuffer.allocate(8 + header.length + data.length).order(ByteOrder.LITTLE_ENDIAN);
    buffer.putLong(length).put(header);
    for (int value : data) {
      buffer.put((byte) value);
    }
    return buffer.array();
  }
}
