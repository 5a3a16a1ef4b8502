package org.sightline.vla.data.image;

import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Set;
import java.util.zip.CRC32;

/**
 * The samples of a PNG as 8-bit RGB, as libpng gives them to TensorFlow: of 16 bits the upper 8,
 * greys of 1, 2 and 4 bits spread over 0–255, alpha and transparent colours dropped. The JDK only
 * decodes: from chunks about colour it would choose other samples, so it gets the file without
 * them, and it leaves checksums alone, so they are checked here.
 */
final class PngSamples {
  /** The chunks without which there is no image. Others of such importance are not known. */
  private static final Set<String> CRITICAL = Set.of("IHDR", "PLTE", "IDAT", "IEND");

  private static final int PALETTE = 3;
  private static final int WITH_COLOUR = 2;

  private PngSamples() {}

  static RgbImage decode(byte[] bytes) throws IOException {
    ByteArrayOutputStream bare = new ByteArrayOutputStream();
    ByteBuffer file = ByteBuffer.wrap(bytes);
    bare.write(bytes, 0, file.position(8).position());
    int depth = 0;
    int type = 0;
    byte[] palette = {};
    String name = "";
    while (!name.equals("IEND")) {
      int start = file.position();
      int length = file.remaining() < 12 ? -1 : file.getInt();
      if (length < 0 || length > file.remaining() - 8) {
        throw new EOFException("cut off before its end chunk");
      }
      name = new String(bytes, start + 4, 4, StandardCharsets.US_ASCII);
      int end = start + 8 + length;
      file.position(end + 4);
      boolean first = bare.size() == 8;
      if (first != name.equals("IHDR") || first && length != 13) {
        throw new IOException("not one header chunk of 13 bytes at its start");
      }
      if (Character.isLowerCase(name.charAt(0))) {
        continue;
      }
      CRC32 sum = new CRC32();
      sum.update(bytes, start + 4, length + 4);
      if (!CRITICAL.contains(name) || (int) sum.getValue() != file.getInt(end)) {
        throw new IOException("a damaged or unknown chunk " + name + " at byte " + start);
      }
      if (first) {
        ImageCodec.checkSize(file.getInt(start + 8), file.getInt(start + 12));
        depth = bytes[start + 16];
        type = bytes[start + 17];
        checkHeader(type, depth, bytes[start + 18], bytes[start + 19], bytes[start + 20]);
      } else if (name.equals("PLTE")) {
        if (type != PALETTE) {
          continue; // A suggestion to screens of few colours.
        }
        if (palette.length > 0 || length == 0 || length % 3 != 0 || length > 3 << depth) {
          throw new IOException(
              "a palette of %s bytes at byte %s, expected one of 1 to %s colours"
                  .formatted(length, start, 1 << depth));
        }
        palette = Arrays.copyOfRange(bytes, start + 8, end);
      }
      bare.write(bytes, start, end + 4 - start);
    }
    if (type == PALETTE && palette.length == 0) {
      throw new IOException("no palette, expected one for colour type " + PALETTE);
    }
    return ImageCodec.toRgb(
        ImageCodec.read("png", bare.toByteArray()), colour(type, depth, palette));
  }

  private static void checkHeader(int type, int depth, int packed, int filter, int interlace)
      throws IOException {
    boolean known =
        switch (type) {
          case 0 -> Set.of(1, 2, 4, 8, 16).contains(depth);
          case PALETTE -> Set.of(1, 2, 4, 8).contains(depth);
          case WITH_COLOUR, 4, 6 -> depth == 8 || depth == 16;
          default -> false;
        };
    if (!known || packed != 0 || filter != 0 || interlace < 0 || interlace > 1) {
      throw new IOException(
          "colour type %s of %s bits, compression %s, filter %s, interlace %s, which PNG has not"
              .formatted(type, depth, packed, filter, interlace));
    }
  }

  private static ImageCodec.Colour colour(int type, int depth, byte[] palette) {
    if (type == PALETTE) {
      byte[] colours = Arrays.copyOf(palette, 3 << depth); // Black beyond its end.
      return (samples, at, rgb, to) -> System.arraycopy(colours, 3 * samples[at], rgb, to, 3);
    }
    int next = (type & WITH_COLOUR) == 0 ? 0 : 1;
    int maximum = (1 << depth) - 1;
    return (samples, at, rgb, to) -> {
      for (int c = 0; c < 3; c++) {
        int sample = samples[at + c * next];
        rgb[to + c] = (byte) (depth == 16 ? sample >> 8 : sample * 255 / maximum);
      }
    };
  }
}
