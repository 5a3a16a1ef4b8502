package org.sightline.formats.tfrecord;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.zip.Deflater;
import java.util.zip.DeflaterOutputStream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.formats.file.SharedFile;
import org.sightline.vla.data.SharedData;

class TfRecordTest {
  /** "hello" framed by a bitwise CRC32C written in Python, which gives e3069283 for "123456789". */
  private static final String HELLO = "0500000000000000eab2043e68656c6c6fbb1f1c19";

  @TempDir Path folder;

  private Path write(byte[]... records) throws IOException {
    Path file = folder.resolve("data.tfrecord");
    try (TfRecordWriter writer = new TfRecordWriter(file)) {
      for (byte[] record : records) {
        writer.write(record);
      }
    }
    return file;
  }

  private static List<byte[]> readAll(Path file) throws IOException {
    List<byte[]> records = new ArrayList<>();
    try (TfRecordReader reader = new TfRecordReader(file)) {
      for (byte[] record = reader.next(); record != null; record = reader.next()) {
        records.add(record);
      }
      assertNull(reader.next(), "the end must last");
    }
    return records;
  }

  @Test
  void framesAsTensorFlowDoes() throws IOException {
    Path file = write("hello".getBytes(StandardCharsets.US_ASCII));
    assertEquals(HELLO, HexFormat.of().formatHex(Files.readAllBytes(file)));
  }

  @Test
  void roundTripsAnySize() throws IOException {
    Random random = new Random(7);
    byte[][] records = new byte[6][];
    int[] sizes = {0, 1, 13, 4096, 300_001, 7};
    for (int i = 0; i < sizes.length; i++) {
      records[i] = new byte[sizes[i]];
      random.nextBytes(records[i]);
    }
    Path file = write(records);
    List<byte[]> read = readAll(file);
    assertEquals(sizes.length, read.size());
    try (TfRecordReader reader = new TfRecordReader(file)) {
      long[] offsets = reader.index().offsets();
      assertEquals(sizes.length, offsets.length);
      for (int i = sizes.length - 1; i >= 0; i--) {
        assertArrayEquals(records[i], read.get(i));
        assertArrayEquals(records[i], reader.read(offsets[i], i));
      }
    }
  }

  @Test
  void emptyFileHasNoRecords() throws IOException {
    Path file = write();
    assertTrue(readAll(file).isEmpty());
    try (TfRecordReader reader = new TfRecordReader(file)) {
      assertEquals(0, reader.index().offsets().length);
      assertNull(reader.index().damage());
    }
  }

  /** Every single bit of the second record is flipped in turn: length, its CRC, data, its CRC. */
  @Test
  void noFlippedBitGoesUnnoticed() throws IOException {
    byte[] first = {1, 2, 3};
    Path file = write(first, "payload".getBytes(StandardCharsets.US_ASCII));
    byte[] good = Files.readAllBytes(file);
    int second = 12 + first.length + 4;
    for (int bit = second * 8; bit < good.length * 8; bit++) {
      byte[] bad = good.clone();
      bad[bit / 8] ^= (byte) (1 << bit % 8);
      Files.write(file, bad);
      try (TfRecordReader reader = new TfRecordReader(file)) {
        assertArrayEquals(first, reader.next());
        DatasetFormatException e = assertThrows(DatasetFormatException.class, reader::next);
        String region = bit / 8 < second + 12 ? "of the length field" : "of the data (7 bytes)";
        assertEquals(
            file + ": record 1 at byte offset " + second + ": masked CRC32C " + region,
            e.getMessage().substring(0, e.getMessage().indexOf(": found")));
      }
    }
  }

  @Test
  void truncationAnywhereIsNamed() throws IOException {
    Path file = write(new byte[] {9, 8, 7, 6, 5});
    byte[] good = Files.readAllBytes(file);
    for (int length = 1; length < good.length; length++) {
      Files.write(file, Arrays.copyOf(good, length));
      try (TfRecordReader reader = new TfRecordReader(file)) {
        DatasetFormatException e = assertThrows(DatasetFormatException.class, reader::next);
        String start = file + ": record 0 at byte offset 0: truncated ";
        String expected =
            length < 12
                ? "header: found " + length + " bytes, expected 12"
                : "record: its length field says 5 bytes, the file holds "
                    + Math.max(0, length - 16)
                    + " more";
        assertEquals(start + expected, e.getMessage());
        assertEquals(e.getMessage(), reader.index().damage().getMessage());
        assertEquals(0, reader.index().offsets().length);
      }
    }
  }

  /** A length with a right checksum but beyond the file must not be believed (nor allocated). */
  @ParameterizedTest
  @CsvSource({"gzip, 9", "zlib, 1", "zlib, 6", "zlib, 9"})
  void compressionIsNamed(String compression, int level) throws IOException {
    Path file = write(new byte[500]);
    byte[] plain = Files.readAllBytes(file);
    try (OutputStream raw = Files.newOutputStream(file);
        OutputStream out =
            compression.equals("gzip")
                ? new GZIPOutputStream(raw)
                : new DeflaterOutputStream(raw, new Deflater(level))) {
      out.write(plain);
    }
    try (TfRecordReader reader = new TfRecordReader(file)) {
      assertEquals(
          file
              + ": record 0 at byte offset 0: found data compressed with "
              + compression
              + ", expected plain TFRecords: decompress the file first",
          reader.index().damage().getMessage());
    }
  }

  @Test
  void hugeLengthIsRefused() throws IOException {
    Path file = write(new byte[5]);
    byte[] bytes = Files.readAllBytes(file);
    for (long length : new long[] {6, Integer.MAX_VALUE, 1L << 40, -1}) {
      ByteBuffer header = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
      header.putLong(0, length);
      header.putInt(8, MaskedCrc32c.of(bytes, 0, 8));
      Files.write(file, bytes);
      try (TfRecordReader reader = new TfRecordReader(file)) {
        DatasetFormatException e = assertThrows(DatasetFormatException.class, reader::next);
        assertTrue(
            e.getMessage().contains("says " + Long.toUnsignedString(length) + " bytes"),
            e.getMessage());
      }
    }
  }

  /** The file holds what the length says, in holes that take no room on the disk. */
  @Test
  void aSparseRecordIsRefusedAndTheNextIsFound() throws IOException {
    Path file = folder.resolve("sparse.tfrecord");
    for (long length : new long[] {TfRecordReader.MAX_RECORD_BYTES + 1L, 1L << 31, 1L << 36}) {
      ByteBuffer header = ByteBuffer.allocate(12).order(ByteOrder.LITTLE_ENDIAN).putLong(length);
      header.putInt(MaskedCrc32c.of(header.array(), 0, 8));
      Files.write(file, header.array());
      long next = length + TfRecordReader.HEADER_BYTES + TfRecordReader.FOOTER_BYTES;
      try (SharedFile sparse = SharedFile.toWrite(file)) {
        sparse.write(ByteBuffer.wrap(HexFormat.of().parseHex(HELLO)), next);
      }
      try (TfRecordReader reader = new TfRecordReader(file)) {
        assertArrayEquals(new long[] {0, next}, reader.index().offsets());
        assertEquals(
            file
                + ": record 0 at byte offset 0: found a record of "
                + length
                + " bytes, expected at most 536870912",
            assertThrows(CorruptRecordException.class, reader::next).getMessage());
        assertEquals("hello", new String(reader.read(next, 1), StandardCharsets.US_ASCII));
      }
    }
  }

  @Test
  void readsAndRewritesRealDataByteForByte() throws IOException {
    Path shard = SharedData.bridge().resolve("bridge_dataset-train.tfrecord-00000-of-00001");
    List<byte[]> records = readAll(shard);
    assertEquals(25, records.size());
    Path copy = write(records.toArray(byte[][]::new));
    assertEquals(-1, Files.mismatch(shard, copy));
    assertFalse(Arrays.equals(records.get(0), records.get(1)));
  }
}
