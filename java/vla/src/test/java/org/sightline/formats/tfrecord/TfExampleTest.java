package org.sightline.formats.tfrecord;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.sightline.vla.data.SharedData;

class TfExampleTest {
  private static byte[] hex(String text) {
    return HexFormat.of().parseHex(text.replace(" ", ""));
  }

  private static byte[] ascii(String text) {
    return text.getBytes(StandardCharsets.US_ASCII);
  }

  /** The feature that an example holds under "k" when its bytes are the given ones. */
  private static TfFeature parseK(String featureHex) throws IOException {
    byte[] entry =
        Protobuf.message(
            out -> {
              out.writeString(1, "k");
              out.writeByteArray(2, hex(featureHex));
            });
    byte[] map = Protobuf.message(out -> out.writeByteArray(1, entry));
    byte[] example = Protobuf.message(out -> out.writeByteArray(1, map));
    return TfExample.parse(example).features().get("k");
  }

  /** Written out by hand from the wire format, as protoc would encode it. */
  @Test
  void serializesAsProtobufDoes() throws IOException {
    TfExample example =
        new TfExample(
            Map.of(
                "b", new TfFeature.Ints(new long[] {1, 300, -1}),
                "a", new TfFeature.ByteStrings(List.of(ascii("hi"), new byte[0])),
                "c", new TfFeature.Floats(new float[] {1f, -2.5f}),
                "d", new TfFeature.Unset()));
    String entryA = "0a0d 0a0161 1208 0a06 0a026869 0a00";
    String entryB = "0a16 0a0162 1211 1a0f 0a0d 01 ac02 ffffffffffffffffff01";
    String entryC = "0a11 0a0163 120c 120a 0a08 0000803f 000020c0";
    String entryD = "0a05 0a0164 1200";
    String all = (entryA + entryB + entryC + entryD).replace(" ", "");
    assertEquals(
        "0a" + String.format("%02x", all.length() / 2) + all,
        HexFormat.of().formatHex(example.serialize()));
    TfExample back = TfExample.parse(example.serialize());
    assertEquals(List.of("a", "b", "c", "d"), List.copyOf(back.features().keySet()));
    assertArrayEquals(
        new long[] {1, 300, -1}, ((TfFeature.Ints) back.features().get("b")).values());
    assertArrayEquals(
        new float[] {1f, -2.5f}, ((TfFeature.Floats) back.features().get("c")).values());
    TfFeature.ByteStrings strings = (TfFeature.ByteStrings) back.features().get("a");
    assertArrayEquals(ascii("hi"), strings.values().get(0));
    assertEquals(0, strings.values().get(1).length);
    assertInstanceOf(TfFeature.Unset.class, back.features().get("d"));
  }

  @Test
  void emptyListsKeepTheirType() throws IOException {
    Map<String, TfFeature> features =
        Map.of(
            "b", new TfFeature.ByteStrings(List.of()),
            "f", new TfFeature.Floats(new float[0]),
            "i", new TfFeature.Ints(new long[0]));
    TfExample back = TfExample.parse(new TfExample(features).serialize());
    features.forEach((k, v) -> assertInstanceOf(v.getClass(), back.features().get(k)));
  }

  @Test
  void unpackedListsAreRead() throws IOException {
    assertArrayEquals(
        new long[] {1, 2, 3}, ((TfFeature.Ints) parseK("1a06 0801 0802 0803")).values());
    assertArrayEquals(
        new float[] {1f, 2f}, ((TfFeature.Floats) parseK("120a 0d0000803f 0d00000040")).values());
    assertArrayEquals(
        new long[] {1, 2, 3}, ((TfFeature.Ints) parseK("1a06 0a020102 0803")).values());
  }

  @Test
  void unknownFieldsAreSkipped() throws IOException {
    // Varint 9, 64-bit 10, bytes 11, group 12 with a varint inside, 32-bit 13; then the list.
    String unknown = "4805 510102030405060708 5a0161 63 0801 64 6d01020304";
    assertArrayEquals(new long[] {7}, ((TfFeature.Ints) parseK(unknown + "1a03 0a0107")).values());
    assertArrayEquals(
        new long[] {7}, ((TfFeature.Ints) parseK("1a05 1005 0a0107")).values(), "inside a list");
    assertInstanceOf(TfFeature.Unset.class, parseK("0801"), "a list of another wire type");
  }

  @Test
  void lastOneofWinsAndListsOfOneKindAreJoined() throws IOException {
    assertArrayEquals(
        new long[] {1, 2}, ((TfFeature.Ints) parseK("1a03 0a0101 1a03 0a0102")).values());
    assertInstanceOf(TfFeature.Floats.class, parseK("1a03 0a0101 1206 0a040000003f"));
  }

  /** Less than a second where each piece costs the same, minutes where it costs all before it. */
  @Test
  void manyPiecesTakeNoLongerThanOne() {
    int pieces = 1 << 20;
    assertTimeoutPreemptively(
        Duration.ofSeconds(60),
        () -> {
          for (String piece :
              List.of("0a030a0178", "12060a040000803f", "12050d0000803f", "1a030a0101")) {
            assertEquals(pieces, parseK(piece.repeat(pieces)).size(), piece);
          }
          String packedOnes = "0a0101".repeat(pieces);
          String length = "80 80 c0 01"; // 3 << 20
          assertEquals(pieces, parseK("1a" + length + packedOnes).size(), "lists within a list");
        });
  }

  @Test
  void malformedInputIsExplained() {
    assertMalformed("1a03 0a0501", "length 5, only 1 bytes left");
    assertMalformed("1a03 0a0f01", "length 15, only 1 bytes left");
    assertMalformed("1206 0a03000000 00", "the input ended unexpectedly in the middle of a field");
    assertMalformed("1a02 0c00", "Protocol message end-group tag did not match expected tag");
    assertMalformed("0f", "Protocol message tag had invalid wire type");
    assertMalformed("6b 74", "Protocol message end-group tag did not match expected tag");
    assertMalformed("4f", "Protocol message tag had invalid wire type");
    assertMalformed("00", "Protocol message contained an invalid tag (zero)");
    assertMalformed("6b 0801", "Protocol message end-group tag did not match expected tag");
    DatasetFormatException varint =
        assertThrows(
            DatasetFormatException.class, () -> TfExample.parse(hex("0affffffffffffffffffff01")));
    assertTrue(varint.getMessage().endsWith("encountered a malformed varint"), varint.getMessage());
    DatasetFormatException utf8 =
        assertThrows(DatasetFormatException.class, () -> TfExample.parse(hex("0a05 0a03 0a01ff")));
    assertTrue(utf8.getMessage().endsWith("Protocol message had invalid UTF-8"), utf8.getMessage());
  }

  private static void assertMalformed(String featureHex, String problem) {
    DatasetFormatException e =
        assertThrows(DatasetFormatException.class, () -> parseK(featureHex), featureHex);
    assertTrue(e.getMessage().endsWith(problem), featureHex + ": " + e.getMessage());
  }

  /** Mutated, cut and spliced examples either parse or fail cleanly, and quickly. */
  @Test
  void tenThousandMutationsAreSurvived() throws IOException {
    Random random = new Random(20251029);
    byte[] seed =
        new TfExample(
                Map.of(
                    "steps/action", new TfFeature.Floats(new float[] {1, 2, 3, 4, 5, 6, 7}),
                    "steps/is_first", new TfFeature.Ints(new long[] {1, 0, -5, 1L << 60}),
                    "steps/image", new TfFeature.ByteStrings(List.of(new byte[9], ascii("jpeg"))),
                    "empty", new TfFeature.Unset()))
            .serialize();
    int[] outcome = new int[2];
    assertTimeoutPreemptively(
        Duration.ofSeconds(60),
        () -> {
          for (int i = 0; i < 10_000; i++) {
            byte[] bytes = mutate(seed, random);
            try {
              TfExample example = TfExample.parse(bytes);
              // What was understood must survive a second trip unchanged.
              byte[] canonical = example.serialize();
              assertArrayEquals(canonical, TfExample.parse(canonical).serialize());
              outcome[0]++;
            } catch (DatasetFormatException e) {
              assertTrue(e.getMessage().startsWith("malformed protobuf at byte "));
              outcome[1]++;
            }
          }
        });
    assertTrue(outcome[0] > 500 && outcome[1] > 500, "one-sided fuzz: " + Arrays.toString(outcome));
  }

  private static byte[] mutate(byte[] seed, Random random) {
    byte[] bytes = seed.clone();
    int changes = 1 + random.nextInt(4);
    for (int c = 0; c < changes; c++) {
      int at = random.nextInt(bytes.length);
      switch (random.nextInt(5)) {
        case 0 -> bytes[at] = (byte) random.nextInt(256);
        case 1 -> bytes[at] ^= (byte) (1 << random.nextInt(8));
        case 2 -> bytes[at] = (byte) 0xff;
        case 3 -> bytes = Arrays.copyOf(bytes, 1 + random.nextInt(bytes.length));
        default -> {
          int from = random.nextInt(bytes.length);
          int length = random.nextInt(Math.min(bytes.length - from, bytes.length - at));
          System.arraycopy(bytes, from, bytes, at, length);
        }
      }
    }
    return bytes;
  }

  @Test
  void realRecordsSurviveARoundTrip() throws IOException {
    var shard = SharedData.bridge().resolve("bridge_dataset-train.tfrecord-00000-of-00001");
    try (TfRecordReader reader = new TfRecordReader(shard)) {
      byte[] record = reader.next();
      TfExample example = TfExample.parse(record);
      assertEquals(20, example.features().size());
      byte[] ours = example.serialize();
      // TensorFlow's map order is arbitrary, but the same fields take the same number of bytes.
      assertEquals(record.length, ours.length);
      assertArrayEquals(ours, TfExample.parse(ours).serialize());
    }
  }
}
