package org.sightline.vla.data.image;

import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import java.awt.image.Raster;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import javax.imageio.IIOImage;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import javax.imageio.ImageWriteParam;
import javax.imageio.ImageWriter;
import javax.imageio.stream.MemoryCacheImageInputStream;
import javax.imageio.stream.MemoryCacheImageOutputStream;
import org.sightline.formats.file.GitLfs;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.tfrecord.DatasetFormatException;

/**
 * Decodes and encodes camera images with the JDK's codecs, in memory (ImageIO's own stream cache
 * would write temporary files). Decoding gives the stored samples as 8-bit RGB, as TensorFlow does
 * with {@code channels=3}: greyscale becomes three equal channels, transparency is dropped, colour
 * profiles and the orientation in EXIF are left alone. JPEGs are decoded with the accurate integer
 * DCT, as by PIL; TensorFlow's default is the fast one, so pixels may differ by a few levels.
 */
public final class ImageCodec {
  static final long MAX_PIXELS = 1L << 26;

  /** That of a JPEG. A row of more would pass what the JDK's readers count in. */
  private static final int MAX_SIDE = (1 << 16) - 1;

  /** JPEG and PNG by what their files start with, and others by name, in ISO 8859-1. */
  private static final Map<String, String> STARTS =
      Map.of(
          "\u00ff\u00d8\u00ff", "JPEG",
          "\u0089PNG\r\n\u001a\n", "PNG",
          "GIF8", "GIF",
          "BM", "BMP",
          "II*\0", "TIFF",
          "MM\0*", "TIFF",
          "RIFF", "WebP");

  private ImageCodec() {}

  /** How the samples of a pixel become red, green and blue. */
  interface Colour {
    void toRgb(int[] samples, int at, byte[] rgb, int to);
  }

  /**
   * Reads a file.
   *
   * @throws IOException naming the file, if it cannot be read or is no picture
   */
  public static RgbImage read(Path file) throws IOException {
    GitLfs.requireContent(file);
    byte[] encoded = InputFile.bytes(file);
    try {
      return decode(encoded);
    } catch (IOException e) {
      throw new IOException(file + ": " + e.getMessage(), e);
    }
  }

  /**
   * Decodes a JPEG or PNG.
   *
   * @throws DatasetFormatException if the bytes are no such image, only the start of one, damaged,
   *     or of a kind that decoders do not agree on
   */
  public static RgbImage decode(byte[] encoded) throws DatasetFormatException {
    String start = new String(encoded, 0, Math.min(8, encoded.length), StandardCharsets.ISO_8859_1);
    String format =
        STARTS.keySet().stream().filter(start::startsWith).findFirst().map(STARTS::get).orElse("");
    try {
      if (format.equals("JPEG")) {
        return JpegSamples.decode(encoded);
      }
      if (format.equals("PNG")) {
        return PngSamples.decode(encoded);
      }
    } catch (IOException | RuntimeException e) {
      // The JDK's readers throw index and argument errors on some damaged files.
      Throwable cause = e.getCause();
      throw undecodable(format, encoded, cause == null || cause.getMessage() == null ? e : cause);
    } catch (OutOfMemoryError e) { // Of the image alone: what is skipped must not end a run.
      throw undecodable(format, encoded, e);
    }
    String found =
        format.isEmpty()
            ? encoded.length + " bytes" + start(encoded)
            : "a " + format + " image of " + encoded.length + " bytes";
    throw new DatasetFormatException("found " + found + ", expected a JPEG or PNG image");
  }

  private static DatasetFormatException undecodable(String format, byte[] encoded, Throwable why) {
    return new DatasetFormatException(
        "found a %s image of %s bytes that cannot be decoded: %s"
            .formatted(format, encoded.length, why.getMessage() == null ? why : why.getMessage()));
  }

  /** The pixels that a header promises, checked before anything of that size is allocated. */
  static long checkSize(int width, int height) throws IOException {
    if (width < 1 || height < 1) {
      throw new IOException(width + "x" + height + " pixels, expected at least 1x1");
    }
    if (Math.max(width, height) > MAX_SIDE) {
      throw new IOException(
          width + "x" + height + " pixels, expected sides of at most " + MAX_SIDE);
    }
    long size = (long) width * height;
    if (size > MAX_PIXELS) {
      throw new IOException(size + " pixels, expected at most " + MAX_PIXELS);
    }
    return size;
  }

  /** The samples as the JDK's own reader of a format finds them. */
  static Raster read(String format, byte[] encoded) throws IOException {
    ImageReader reader = ofJdk(ImageIO.getImageReadersByFormatName(format));
    List<String> warnings = new ArrayList<>();
    try (MemoryCacheImageInputStream stream =
        new MemoryCacheImageInputStream(new ByteArrayInputStream(encoded))) {
      reader.addIIOReadWarningListener((source, warning) -> warnings.add(warning));
      reader.setInput(stream, true, true);
      Raster raster =
          reader.canReadRaster() ? reader.readRaster(0, null) : reader.read(0).getRaster();
      // Damage, which the JDK fills with grey; after the last scan, padding of some cameras.
      warnings.removeIf(warning -> warning.endsWith(" extraneous bytes before marker 0xd9"));
      if (!warnings.isEmpty()) {
        throw new IOException(warnings.get(0));
      }
      return raster;
    } finally {
      reader.dispose();
    }
  }

  static RgbImage toRgb(Raster raster, Colour colour) {
    int width = raster.getWidth();
    int bands = raster.getNumBands();
    byte[] rgb = new byte[width * raster.getHeight() * 3];
    int[] row = new int[width * bands];
    int to = 0;
    for (int y = 0; y < raster.getHeight(); y++) {
      raster.getPixels(0, y, width, 1, row);
      for (int at = 0; at < row.length; at += bands, to += 3) {
        colour.toRgb(row, at, rgb, to);
      }
    }
    return new RgbImage(width, raster.getHeight(), rgb);
  }

  /**
   * Encodes a JPEG, 4:2:0 chroma as cameras write it.
   *
   * @param quality 0 to 1
   */
  public static byte[] encodeJpeg(RgbImage image, float quality) throws IOException {
    ImageWriter writer = ofJdk(ImageIO.getImageWritersByFormatName("jpeg"));
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (MemoryCacheImageOutputStream stream = new MemoryCacheImageOutputStream(bytes)) {
      ImageWriteParam parameters = writer.getDefaultWriteParam();
      parameters.setCompressionMode(ImageWriteParam.MODE_EXPLICIT);
      parameters.setCompressionQuality(quality);
      writer.setOutput(stream);
      writer.write(null, new IIOImage(toBuffered(image), null, null), parameters);
    } finally {
      writer.dispose();
    }
    return bytes.toByteArray();
  }

  /** The one of the JDK, which plugins may stand before and decode otherwise. */
  static <T> T ofJdk(Iterator<T> codecs) {
    T codec = codecs.next();
    while (codec.getClass().getModule() != ImageIO.class.getModule()) {
      codec = codecs.next();
    }
    return codec;
  }

  private static BufferedImage toBuffered(RgbImage image) {
    BufferedImage buffered =
        new BufferedImage(image.width(), image.height(), BufferedImage.TYPE_3BYTE_BGR);
    byte[] bgr = ((DataBufferByte) buffered.getRaster().getDataBuffer()).getData();
    byte[] rgb = image.pixels();
    for (int i = 0; i < rgb.length; i += 3) {
      bgr[i] = rgb[i + 2];
      bgr[i + 1] = rgb[i + 1];
      bgr[i + 2] = rgb[i];
    }
    return buffered;
  }

  private static String start(byte[] bytes) {
    String hex = HexFormat.ofDelimiter(" ").formatHex(bytes, 0, Math.min(4, bytes.length));
    return hex.isEmpty() ? "" : " starting with " + hex;
  }
}
