package org.sightline.vla.tabletop;

import org.sightline.vla.data.image.RgbImage;

/**
 * A texture blended over the picture, as a disturbance of the sight: it moves with the robot and
 * the things on the table.
 *
 * @param texture what is blended in
 * @param strength its share, 0 to 1
 * @param whole whether over the whole picture; else over robot and things alone
 */
public record Overlay(TableTexture texture, double strength, boolean whole) {
  /** Width in metres of the texture that fills the picture. */
  private static final double WIDTH = 0.5;

  View on(View view) {
    RgbImage image = view.image();
    int size = image.width();
    byte[] entities = view.entities();
    int[] box = {size, size, 0, 0};
    for (int i = 0; i < entities.length; i++) {
      if (entities[i] != 0) {
        box[0] = Math.min(box[0], i % size);
        box[1] = Math.min(box[1], i / size);
        box[2] = Math.max(box[2], i % size);
        box[3] = Math.max(box[3], i / size);
      }
    }
    double centreX = (box[0] + box[2]) / 2.0;
    double centreY = (box[1] + box[3]) / 2.0;
    byte[] pixels = image.pixels().clone();
    for (int i = 0; i < entities.length; i++) {
      if (whole || entities[i] != 0) {
        double x = (i % size - centreX) * WIDTH / size;
        double y = (i / size - centreY) * WIDTH / size;
        Vec3 colour = texture.colour(x, y);
        pixels[3 * i] = blend(pixels[3 * i], colour.x());
        pixels[3 * i + 1] = blend(pixels[3 * i + 1], colour.y());
        pixels[3 * i + 2] = blend(pixels[3 * i + 2], colour.z());
      }
    }
    return new View(new RgbImage(size, size, pixels), entities);
  }

  private byte blend(byte displayed, double linear) {
    double other = 255 * Math.sqrt(linear);
    return (byte) (int) ((1 - strength) * (displayed & 0xff) + strength * other + 0.5);
  }
}
