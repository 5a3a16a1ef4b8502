package org.sightline.formats.safetensors;

import java.util.List;

/**
 * Where one tensor lies in a safetensors file.
 *
 * @param name its key
 * @param type its element type
 * @param shape its sizes; empty for a scalar
 * @param begin first byte, counted from the end of the header
 * @param end one past the last byte
 */
public record TensorInfo(String name, ElementType type, List<Long> shape, long begin, long end) {
  public TensorInfo {
    shape = List.copyOf(shape);
  }

  /** Bytes the shape asks for, or -1 if they do not fit 63 bits. */
  public long sizeInBytes() {
    long bytes = type.bytes();
    boolean overflow = false;
    for (long size : shape) {
      long high = Math.multiplyHigh(bytes, size);
      bytes *= size;
      overflow |= high != 0 || bytes < 0;
    }
    // As the official reader: an overflow counts even if a later size is zero.
    return overflow ? -1 : bytes;
  }

  long[] sizes() {
    return shape.stream().mapToLong(Long::longValue).toArray();
  }

  String offsets() {
    return "[" + begin + "," + end + "]";
  }
}
