package org.sightline.vla.data.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.awt.color.ColorSpace;
import java.awt.color.ICC_Profile;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Random;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.formats.tfrecord.DatasetFormatException;

/** PNGs written here from samples, in every form that the format has, and what comes back. */
class PngSamplesTest {
  private static final byte[] SIGNATURE = {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  private static final int GREY = 0;
  private static final int PALETTE = 3;

  /** First column and row of Adam7's passes, and the distances to the next. */
  private static final int[][] ADAM7 = {
    {0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}
  };

  private final ByteArrayOutputStream file = new ByteArrayOutputStream();
  private Random random;
  private int width;
  private int height;

  @ParameterizedTest(name = "type {0}, {1} bits")
  @CsvSource({
    "0,1,1", "0,2,1", "0,4,1", "0,8,1", "0,16,1", "2,8,3", "2,16,3", "3,1,1", "3,2,1", "3,4,1",
    "3,8,1", "4,8,2", "4,16,2", "6,8,4", "6,16,4"
  })
  void samplesComeBackAsStored(int type, int depth, int bands) throws Exception {
    random = new Random(31 * type + depth);
    for (int i = 0; i < 12; i++) {
      width = 1 + random.nextInt(19);
      height = 1 + random.nextInt(19);
      int[] samples = random.ints((long) width * height * bands, 0, 1 << depth).toArray();
      byte[] palette = new byte[3 << depth & 0xfff];
      random.nextBytes(palette);
      boolean interlaced = i % 2 == 1;
      boolean withColour = i % 4 >= 2;

      file.reset();
      start(type, depth, interlaced);
      if (withColour) {
        colourChunks();
      }
      if (type == PALETTE) {
        chunk("PLTE", palette);
      }
      if (withColour) { // The first pixel's colour is transparent; of a palette every one, partly.
        ByteBuffer colour = ByteBuffer.allocate(2 * bands);
        Arrays.stream(samples, 0, bands).forEach(s -> colour.putShort((short) s));
        chunk("tRNS", type == PALETTE ? Arrays.copyOf(palette, 1 << depth) : colour.array());
      }
      end(rows(samples, bands, depth, interlaced));

      byte[] expected = new byte[width * height * 3];
      for (int p = 0; p < expected.length; p++) {
        int sample = samples[p / 3 * bands + (bands < 3 ? 0 : p % 3)];
        expected[p] =
            type == PALETTE
                ? palette[3 * sample + p % 3]
                : (byte) (depth == 16 ? sample >> 8 : sample * 255 / ((1 << depth) - 1));
      }
      RgbImage found = ImageCodec.decode(file.toByteArray());
      assertEquals(width, found.width());
      assertArrayEquals(expected, found.pixels(), "image " + i);
    }
  }

  @Test
  void coloursThatThePaletteLacksAreBlack() throws Exception {
    width = 2;
    height = 1;
    start(PALETTE, 8, false);
    chunk("PLTE", new byte[] {10, 20, 30});
    end(new byte[] {0, 0, 1});
    byte[] expected = {10, 20, 30, 0, 0, 0};
    assertArrayEquals(expected, ImageCodec.decode(file.toByteArray()).pixels());
  }

  /** Also bits that make a needed chunk one to be skipped, and cuts between chunks. */
  @Test
  void everyFlippedBitAndEveryCutIsNoticed() throws Exception {
    width = 3;
    height = 2;
    start(PALETTE, 2, false);
    chunk("PLTE", new byte[] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
    end(new byte[] {0, 0x1b, 0, 0x6c});
    byte[] png = file.toByteArray();
    ImageCodec.decode(png);
    for (int bit = 0; bit < 8 * png.length; bit++) {
      byte[] flipped = png.clone();
      flipped[bit / 8] ^= (byte) (1 << bit % 8);
      assertThrows(DatasetFormatException.class, () -> ImageCodec.decode(flipped), "bit " + bit);
    }
    for (int length = SIGNATURE.length; length < png.length; length++) {
      file.reset();
      file.write(png, 0, length);
      refused("cut off before its end chunk");
    }
  }

  @Test
  void filesThatAreOtherwiseWrongAreRefusedByName() throws Exception {
    width = 60000;
    height = 60000;
    start(GREY, 8, false);
    end(new byte[10]);
    refused("3600000000 pixels, expected at most 67108864");
    width = 1 << 26;
    height = 1;
    start(6, 16, false);
    end(new byte[10]);
    refused("67108864x1 pixels, expected sides of at most 65535");
    height = 60000;
    width = 0;
    start(GREY, 8, false);
    end(new byte[10]);
    refused("0x60000 pixels, expected at least 1x1");
    width = 1;
    height = 1;
    start(GREY, 8, false);
    chunk("NEED", new byte[0]);
    end(new byte[2]);
    refused("a damaged or unknown chunk NEED at byte 33");
    file.writeBytes(SIGNATURE);
    chunk("IHDR", new byte[0]);
    refused("not one header chunk of 13 bytes at its start");
    start(GREY, 8, false);
    chunk("IHDR", new byte[13]);
    end(new byte[2]);
    refused("not one header chunk of 13 bytes at its start");
    start(GREY, 8, false);
    end(new byte[1]);
    refused("Error reading PNG image data");
  }

  @ParameterizedTest
  @CsvSource({"1, 8", "5, 8", "-1, 8", "0, 3", "2, 4", "3, 16", "4, 1", "6, 0"})
  void typesThatPngHasNotAreRefusedByName(int type, int depth) throws Exception {
    width = 1;
    height = 1;
    start(type, depth, false);
    end(new byte[9]);
    refused(
        "colour type %d of %d bits, compression 0, filter 0, interlace 0, which PNG has not"
            .formatted(type, depth));
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 4, 15, 3_000_000})
  void palettesOfOtherSizesAreRefusedByName(int bytes) throws Exception {
    width = 1;
    height = 1;
    start(PALETTE, 2, false);
    chunk("PLTE", new byte[bytes]);
    end(new byte[2]);
    refused("a palette of %d bytes at byte 33, expected one of 1 to 4 colours".formatted(bytes));
    start(PALETTE, 2, false);
    end(new byte[2]);
    refused("no palette, expected one for colour type 3");
    start(GREY, 8, false);
    chunk("PLTE", new byte[bytes]);
    end(new byte[2]);
    assertEquals(1, ImageCodec.decode(file.toByteArray()).width(), "it has no part in greys");
    file.reset();
  }

  private void refused(String reason) {
    String found = "found a PNG image of " + file.size() + " bytes that cannot be decoded: ";
    byte[] png = file.toByteArray();
    assertEquals(
        found + reason,
        assertThrows(DatasetFormatException.class, () -> ImageCodec.decode(png)).getMessage());
    file.reset();
  }

  private void start(int type, int depth, boolean interlaced) {
    file.writeBytes(SIGNATURE);
    ByteBuffer header = ByteBuffer.allocate(13).putInt(width).putInt(height);
    header.put((byte) depth).put((byte) type).put(12, (byte) (interlaced ? 1 : 0));
    chunk("IHDR", header.array());
  }

  /** Each would change the colours of a decoder that follows it. */
  private void colourChunks() {
    chunk("gAMA", ByteBuffer.allocate(4).putInt(100000).array());
    chunk("sBIT", new byte[] {1});
    byte[] profile = ICC_Profile.getInstance(ColorSpace.CS_LINEAR_RGB).getData();
    byte[] name = {'l', 0, 0};
    ByteArrayOutputStream content = new ByteArrayOutputStream();
    content.writeBytes(name);
    content.writeBytes(deflate(profile));
    chunk("iCCP", content.toByteArray());
  }

  private void end(byte[] rows) {
    byte[] data = deflate(rows);
    int half = data.length / 2;
    chunk("IDAT", Arrays.copyOf(data, half));
    chunk("IDAT", Arrays.copyOfRange(data, half, data.length));
    chunk("IEND", new byte[0]);
  }

  private void chunk(String name, byte[] content) {
    ByteBuffer chunk = ByteBuffer.allocate(content.length + 12).putInt(content.length);
    chunk.put(name.getBytes(StandardCharsets.US_ASCII)).put(content);
    CRC32 sum = new CRC32();
    sum.update(chunk.array(), 4, content.length + 4);
    file.writeBytes(chunk.putInt((int) sum.getValue()).array());
  }

  private static byte[] deflate(byte[] bytes) {
    Deflater deflater = new Deflater();
    deflater.setInput(bytes);
    deflater.finish();
    byte[] packed = new byte[bytes.length + 100];
    int length = deflater.deflate(packed);
    deflater.end();
    return Arrays.copyOf(packed, length);
  }

  private byte[] rows(int[] samples, int bands, int depth, boolean interlaced) {
    ByteArrayOutputStream rows = new ByteArrayOutputStream();
    for (int[] pass : interlaced ? ADAM7 : new int[][] {{0, 0, 1, 1}}) {
      int columns = (width - pass[0] + pass[2] - 1) / pass[2];
      for (int y = pass[1]; y < height && columns > 0; y += pass[3]) {
        byte[] row = new byte[(columns * bands * depth + 7) / 8];
        for (int bit = 0; bit < columns * bands * depth; bit++) {
          int band = bit / depth % bands;
          int x = pass[0] + bit / depth / bands * pass[2];
          int sample = samples[(y * width + x) * bands + band];
          row[bit / 8] |= (byte) ((sample >> depth - 1 - bit % depth & 1) << 7 - bit % 8);
        }
        rows.write(0); // The filter: none.
        rows.writeBytes(row);
      }
    }
    return rows.toByteArray();
  }
}
