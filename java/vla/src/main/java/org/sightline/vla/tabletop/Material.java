package org.sightline.vla.tabletop;

/**
 * How a surface looks.
 *
 * @param colour linear RGB, 0 to 1
 * @param gloss strength of the highlight, 0 to 1
 * @param stripes width in metres of alternating light and dark stripes; 0 for none
 */
record Material(Vec3 colour, double gloss, double stripes) {
  /** A plain surface; the colour is given as displayed, 0xRRGGBB. */
  static Material of(int rgb, double gloss) {
    return new Material(linear(rgb), gloss, 0);
  }

  /** Displayed values are square roots of linear ones: gamma 2, which IEEE computes exactly. */
  static Vec3 linear(int rgb) {
    double r = (rgb >> 16 & 0xff) / 255.0;
    double g = (rgb >> 8 & 0xff) / 255.0;
    double b = (rgb & 0xff) / 255.0;
    return new Vec3(r * r, g * g, b * b);
  }
}
