package org.sightline.vla.data.image;

/**
 * An 8-bit RGB image. The array is not copied.
 *
 * @param width in pixels
 * @param height in pixels
 * @param pixels height × width × 3 bytes, rows from the top, red first, values 0–255
 */
public record RgbImage(int width, int height, byte[] pixels) {
  public RgbImage {
    if (width < 1 || height < 1 || pixels.length != (long) width * height * 3) {
      throw new IllegalArgumentException(
          "RgbImage: found %s bytes for %sx%s, expected width*height*3 and both at least 1"
              .formatted(pixels.length, width, height));
    }
  }

  /** A channel (0 red, 1 green, 2 blue) of a pixel, 0–255. */
  public int get(int x, int y, int channel) {
    return pixels[(y * width + x) * 3 + channel] & 0xff;
  }
}
