package org.sightline.vla.data.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.color.ColorSpace;
import java.awt.color.ICC_Profile;
import java.awt.image.DataBuffer;
import java.awt.image.Raster;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import javax.imageio.IIOImage;
import javax.imageio.ImageIO;
import javax.imageio.ImageWriter;
import javax.imageio.stream.MemoryCacheImageOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.sightline.formats.tfrecord.DatasetFormatException;
import org.sightline.vla.data.TestData;

/** A JPEG's markers. {@code ImageParityTest} compares colours and sampling with PIL. */
class JpegSamplesTest {
  private static final String FRAME = "ffc0";
  private static final String SCAN = "ffda";

  private byte[] jpeg;

  @BeforeEach
  void encode() throws IOException {
    jpeg = ImageCodec.encodeJpeg(TestData.noise(24, 20, new Random(1)), 0.9f);
  }

  @Test
  void markersOfApplicationsAndFillingChangeNothing() throws IOException {
    byte[] expected = ImageCodec.decode(jpeg).pixels();
    byte[] profile = ICC_Profile.getInstance(ColorSpace.CS_LINEAR_RGB).getData();
    String turned = "Exif\0\0MM\0*\0\0\0\10\0\1\1\22\0\3\0\0\0\1\0\6\0\0\0\0\0\0";
    int end = jpeg.length - 2;
    byte[][] files = {
      with(0xe2, join(ascii("ICC_PROFILE\0\1\1"), profile)),
      with(0xe2, ascii("ICC_PROFILE\0\1\1no profile")),
      with(0xe1, ascii(turned)),
      with(0xe0, ascii("JFXX\0\23\2\2no thumbnail")),
      with(0xee, ascii("Adobe")),
      with(0xfe, new byte[] {(byte) 0xff, (byte) 0xd9, (byte) 0xff, (byte) 0xda}),
      join(part(0, 2), new byte[] {(byte) 0xff, (byte) 0xff}, part(2, end + 2)),
      join(part(0, 20), ascii("between"), part(20, end + 2)),
      join(part(0, 20), new byte[] {(byte) 0xff, 1, (byte) 0xff, (byte) 0xd3}, part(20, end + 2)),
      join(part(0, end), new byte[3], part(end, end + 2)),
      join(jpeg, ascii("after the end")),
    };
    for (int i = 0; i < files.length; i++) {
      assertArrayEquals(expected, ImageCodec.decode(files[i]).pixels(), "file " + i);
    }
  }

  @Test
  void whatOneDecoderReadsOtherwiseThanAnotherIsRefusedByName() throws IOException {
    int frame = find(FRAME);
    int lastOfScan = find(SCAN) + 13;
    refused(
        edited(frame + 1, 0xc9),
        "SOF9 (arithmetic, lossless or hierarchical), expected SOF0, SOF1 or SOF2");
    refused(edited(frame + 4, 12), "12 bits per sample, expected 8");
    refused(edited(frame + 6, 0), "24x0 pixels, expected at least 1x1");
    refused(
        edited(frame + 5, 0x7f, 0x7f, 0x7f, 0x7f), "1065304321 pixels, expected at most 67108864");
    refused(edited(frame + 9, 2), "2 components, expected 1, 3 or 4");
    refused(
        edited(frame + 11, 0x12),
        "a component of full width and half height (4:4:0), expected 4:4:4, 4:2:2 or 4:2:0");
    refused(
        edited(lastOfScan - 1, 62), "incomplete, its scans end before all coefficients are there");
    refused(edited(lastOfScan, 1), "incomplete, its scans end before all coefficients are there");
    refused(unmarkedCmyk(), "CMYK without Adobe's marker, which tells whether it is inverted");
  }

  /** A file of some kilobytes could keep a processor busy for minutes. */
  @Test
  void scansAreLimitedByTheirPixels() {
    jpeg = edited(find(FRAME) + 5, 0x1f, 0xff, 0x1f, 0xff);
    int scan = find(SCAN);
    byte[] file = part(0, scan);
    for (int i = 0; i < 17; i++) {
      file = join(file, part(scan, scan + 14));
    }
    refused(
        join(file, part(scan, jpeg.length)),
        "17 scans of 67092481 pixels, expected at most 1073741824 in all");
  }

  @Test
  @Timeout(60)
  void segmentsByTheHundredThousandCostNothing() throws IOException {
    for (int marker : new int[] {0xc4, 0xdd, 0xe1, 0xfe}) { // DHT without a code, DRI, APP1, COM
      byte[] segment = new byte[marker == 0xc4 ? 21 : 6];
      segment[0] = (byte) 0xff;
      segment[1] = (byte) marker;
      segment[3] = (byte) (segment.length - 2);
      byte[] many = new byte[100_000 * segment.length];
      for (int at = 0; at < many.length; at += segment.length) {
        System.arraycopy(segment, 0, many, at, segment.length);
      }
      byte[] file = join(part(0, 2), join(many, part(2, jpeg.length)));
      assertArrayEquals(ImageCodec.decode(jpeg).pixels(), ImageCodec.decode(file).pixels());
    }
  }

  @Test
  void missingPartsAreNoticed() {
    for (int length = 3; length < jpeg.length; length++) {
      refused(part(0, length), "cut off before its end marker");
    }
    int end = jpeg.length - 2;
    refused(
        join(part(0, end - 60), part(end, end + 2)),
        "Corrupt JPEG data: premature end of data segment");
    int frame = find(FRAME);
    refused(join(part(0, frame), part(frame + 19, end + 2)), "a scan before the frame's header");
  }

  private static void refused(byte[] file, String reason) {
    assertEquals(
        "found a JPEG image of " + file.length + " bytes that cannot be decoded: " + reason,
        assertThrows(DatasetFormatException.class, () -> ImageCodec.decode(file)).getMessage());
  }

  /** Four bands as they are, which the JDK writes without Adobe's marker. */
  private static byte[] unmarkedCmyk() throws IOException {
    Raster raster = Raster.createInterleavedRaster(DataBuffer.TYPE_BYTE, 8, 8, 4, null);
    ImageWriter writer = ImageIO.getImageWritersByFormatName("jpeg").next();
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (MemoryCacheImageOutputStream stream = new MemoryCacheImageOutputStream(bytes)) {
      writer.setOutput(stream);
      writer.write(null, new IIOImage(raster, null, null), null);
    } finally {
      writer.dispose();
    }
    return bytes.toByteArray();
  }

  /** The file with another marker after JFIF's. */
  private byte[] with(int marker, byte[] content) {
    int length = content.length + 2;
    byte[] start = {(byte) 0xff, (byte) marker, (byte) (length >> 8), (byte) length};
    return join(part(0, 20), start, content, part(20, jpeg.length));
  }

  private byte[] edited(int at, int... values) {
    byte[] result = jpeg.clone();
    for (int i = 0; i < values.length; i++) {
      result[at + i] = (byte) values[i];
    }
    return result;
  }

  private int find(String marker) {
    int at = HexFormat.of().formatHex(jpeg).indexOf(marker);
    assertTrue(at > 0 && at % 2 == 0, marker + " at " + at);
    return at / 2;
  }

  private byte[] part(int from, int to) {
    return Arrays.copyOfRange(jpeg, from, to);
  }

  private static byte[] ascii(String text) {
    return text.getBytes(StandardCharsets.US_ASCII);
  }

  private static byte[] join(byte[]... parts) {
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    for (byte[] part : parts) {
      all.writeBytes(part);
    }
    return all.toByteArray();
  }
}
