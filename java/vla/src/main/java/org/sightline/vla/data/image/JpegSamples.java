package org.sightline.vla.data.image;

import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * The samples of a JPEG, in the colours that libjpeg-turbo (PIL, TensorFlow) gives them. The JDK
 * only decodes: it would convert embedded colour profiles, guess whether three components are RGB,
 * and refuse CMYK; so markers are read here by libjpeg's rules, and the JDK's reader gets the file
 * without those of applications and is asked for samples as they are.
 *
 * <p>JDKs are built with libjpeg 6b or libjpeg-turbo. Refused is where the two differ: components
 * of full width and half height (4:4:0), arithmetic coding, and progressive images whose scans end
 * before all coefficients are complete; and CMYK without Adobe's marker, on which TensorFlow and
 * PIL disagree.
 */
final class JpegSamples {
  private static final int EOI = 0xd9;

  /** Of all scans together: each takes the time of a whole image, and encoders write about ten. */
  private static final long MAX_PIXELS = 16 * ImageCodec.MAX_PIXELS;

  private final byte[] bytes;
  private final ByteArrayOutputStream bare = new ByteArrayOutputStream();
  private int at = 2;
  private long pixels;
  private int scans;
  private boolean jfif;
  private int adobeTransform = -1;
  private int[] componentIds;

  /** Lowest bit that was sent of a component's coefficients, -1 where none was. */
  private int[][] lowestBit;

  private JpegSamples(byte[] bytes) {
    this.bytes = bytes;
  }

  static RgbImage decode(byte[] bytes) throws IOException {
    JpegSamples jpeg = new JpegSamples(bytes);
    jpeg.readMarkers();
    ImageCodec.Colour colour = jpeg.colour(); // Refuses first.
    return ImageCodec.toRgb(ImageCodec.read("jpeg", jpeg.bare.toByteArray()), colour);
  }

  private void readMarkers() throws IOException {
    bare.write(bytes, 0, 2);
    for (int marker = nextMarker(); marker != EOI; marker = nextMarker()) {
      if (marker == 0x01 || marker >= 0xd0 && marker <= 0xd7) {
        continue; // Stray ones without content, which decoders skip.
      }
      int start = at;
      at += u16(at);
      u8(at - 1);
      switch (marker) {
        case 0xe0 -> jfif |= scans == 0 && at - start >= 16 && holds(start + 2, "JFIF\0");
        case 0xee -> {
          if (scans == 0 && at - start >= 14 && holds(start + 2, "Adobe")) {
            adobeTransform = u8(start + 13);
          }
        }
        case 0xc0, 0xc1, 0xc2 -> readFrame(start + 2);
        case 0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf ->
            throw new IOException(
                "SOF"
                    + (marker - 0xc0)
                    + " (arithmetic, lossless or hierarchical), expected SOF0, SOF1 or SOF2");
        case 0xda -> readScan(start + 2);
        default -> {}
      }
      boolean ofApplications = marker >= 0xe0 && marker <= 0xef || marker == 0xfe;
      if (!ofApplications) {
        bare.write(bytes, start - 2, at - start + 2);
      }
    }
    bare.write(0xff);
    bare.write(EOI);
    if (lowestBit == null
        || !Arrays.stream(lowestBit).flatMapToInt(Arrays::stream).allMatch(b -> b == 0)) {
      throw new IOException("incomplete, its scans end before all coefficients are there");
    }
  }

  /** Passes fill bytes, and others before a marker as decoders do. */
  private int nextMarker() throws IOException {
    while (u8(at) != 0xff || u8(at + 1) == 0 || u8(at + 1) == 0xff) {
      at++;
    }
    at += 2;
    return u8(at - 1);
  }

  private void readFrame(int start) throws IOException {
    if (u8(start) != 8) {
      throw new IOException(u8(start) + " bits per sample, expected 8");
    }
    pixels = ImageCodec.checkSize(u16(start + 3), u16(start + 1));
    int count = u8(start + 5);
    if (count != 1 && count != 3 && count != 4) {
      throw new IOException(count + " components, expected 1, 3 or 4");
    }
    componentIds = new int[count];
    lowestBit = new int[count][64];
    int[] across = new int[count];
    int[] down = new int[count];
    for (int c = 0; c < count; c++) {
      componentIds[c] = u8(start + 6 + 3 * c);
      across[c] = u8(start + 7 + 3 * c) >> 4;
      down[c] = u8(start + 7 + 3 * c) & 15;
      Arrays.fill(lowestBit[c], -1);
    }
    int widest = Arrays.stream(across).max().getAsInt();
    int highest = Arrays.stream(down).max().getAsInt();
    for (int c = 0; c < count; c++) {
      if (across[c] == widest && 2 * down[c] == highest) {
        throw new IOException(
            "a component of full width and half height (4:4:0), expected 4:4:4, 4:2:2 or 4:2:0");
      }
    }
  }

  /** Reads the header, and passes the data up to the next marker. */
  private void readScan(int start) throws IOException {
    if (componentIds == null) {
      throw new IOException("a scan before the frame's header");
    }
    if (++scans * pixels > MAX_PIXELS) {
      throw new IOException(
          scans + " scans of " + pixels + " pixels, expected at most " + MAX_PIXELS + " in all");
    }
    int count = u8(start);
    int selection = start + 1 + 2 * count;
    for (int i = 0; i < count; i++) {
      for (int c = 0; c < componentIds.length; c++) {
        if (componentIds[c] == u8(start + 1 + 2 * i)) {
          int to = Math.min(64, u8(selection + 1) + 1);
          Arrays.fill(lowestBit[c], Math.min(to, u8(selection)), to, u8(selection + 2) & 15);
        }
      }
    }
    while (u8(at) != 0xff || isData(u8(at + 1))) {
      at++;
    }
  }

  private static boolean isData(int afterFf) {
    return afterFf == 0 || afterFf >= 0xd0 && afterFf <= 0xd7;
  }

  private ImageCodec.Colour colour() throws IOException {
    if (componentIds.length == 1) {
      return (samples, at, rgb, to) -> Arrays.fill(rgb, to, to + 3, (byte) samples[at]);
    }
    if (componentIds.length == 3) {
      boolean named = Arrays.equals(componentIds, new int[] {'R', 'G', 'B'});
      boolean isRgb = !jfif && (adobeTransform < 0 ? named : adobeTransform == 0);
      return isRgb ? JpegSamples::fromRgb : JpegSamples::fromYcc;
    }
    if (adobeTransform < 0) {
      throw new IOException("CMYK without Adobe's marker, which tells whether it is inverted");
    }
    boolean isYcck = adobeTransform != 0;
    return (samples, at, rgb, to) -> {
      if (isYcck) {
        fromYcc(samples, at, rgb, to);
      } else {
        fromRgb(samples, at, rgb, to);
      }
      // Adobe stores what an ink leaves of white; in YCCK that is stored again as its opposite.
      int black = samples[at + 3];
      for (int c = to; c < to + 3; c++) {
        int ink = rgb[c] & 0xff;
        rgb[c] = (byte) (black * (isYcck ? 255 - ink : ink) / 255);
      }
    };
  }

  private static void fromRgb(int[] samples, int at, byte[] rgb, int to) {
    for (int c = 0; c < 3; c++) {
      rgb[to + c] = (byte) samples[at + c];
    }
  }

  /** libjpeg's fixed point. */
  private static void fromYcc(int[] samples, int at, byte[] rgb, int to) {
    int y = samples[at];
    int cb = samples[at + 1] - 128;
    int cr = samples[at + 2] - 128;
    rgb[to] = clamp(y + (91881 * cr + 32768 >> 16));
    rgb[to + 1] = clamp(y + (-22554 * cb - 46802 * cr + 32768 >> 16));
    rgb[to + 2] = clamp(y + (116130 * cb + 32768 >> 16));
  }

  private static byte clamp(int value) {
    return (byte) Math.max(0, Math.min(255, value));
  }

  private boolean holds(int start, String text) {
    byte[] wanted = text.getBytes(StandardCharsets.US_ASCII);
    return Arrays.equals(bytes, start, start + wanted.length, wanted, 0, wanted.length);
  }

  private int u8(int index) throws EOFException {
    if (index >= bytes.length) {
      throw new EOFException("cut off before its end marker");
    }
    return bytes[index] & 0xff;
  }

  private int u16(int index) throws EOFException {
    return u8(index) << 8 | u8(index + 1);
  }
}
