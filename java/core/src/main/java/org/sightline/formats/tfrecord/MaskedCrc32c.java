package org.sightline.formats.tfrecord;

import java.util.zip.CRC32C;

/**
 * The checksum of TFRecord: CRC32C, rotated right by 15 bits, plus a constant. The mask keeps a
 * checksum of data that itself holds checksums from being trivially predictable.
 */
public final class MaskedCrc32c {
  private static final int MASK_DELTA = 0xa282ead8;

  private MaskedCrc32c() {}

  /** The masked checksum of {@code length} bytes from {@code offset} on. */
  public static int of(byte[] bytes, int offset, int length) {
    CRC32C crc = new CRC32C();
    crc.update(bytes, offset, length);
    return Integer.rotateRight((int) crc.getValue(), 15) + MASK_DELTA;
  }
}
