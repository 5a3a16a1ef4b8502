package org.sightline.vla.tabletop;

/**
 * How a surface looks.
 *
 * @param colour linear RGB, 0 to 1
 * @param gloss strength of the highlight, 0 to 1
 * @param pattern on the colour, or null
 */
record Material(Vec3 colour, double gloss, Pattern pattern) {
  /** A surface of several colours. */
  @FunctionalInterface
  interface Pattern {
    /** Linear RGB at a point of the scene, in metres. */
    Vec3 colour(Vec3 point);
  }

  /** A plain surface; the colour is given as displayed, 0xRRGGBB. */
  static Material of(int rgb, double gloss) {
    return new Material(linear(rgb), gloss, null);
  }

  /** Light and dark stripes of a width in metres. */
  static Material striped(int rgb, double width) {
    Vec3 light = linear(rgb);
    Vec3 dark = light.times(0.62);
    return new Material(
        light,
        0,
        p -> Math.floorMod((int) Math.floor((p.x() + p.y()) / width), 2) == 0 ? light : dark);
  }

  Vec3 colour(Vec3 point) {
    return pattern == null ? colour : pattern.colour(point);
  }

  /** Displayed values are square roots of linear ones: gamma 2, which IEEE computes exactly. */
  static Vec3 linear(int rgb) {
    double r = (rgb >> 16 & 0xff) / 255.0;
    double g = (rgb >> 8 & 0xff) / 255.0;
    double b = (rgb & 0xff) / 255.0;
    return new Vec3(r * r, g * g, b * b);
  }
}
