package org.sightline.vla.tabletop;

/**
 * The table's surface.
 *
 * @param pattern of it
 * @param light linear RGB of one of its colours
 * @param dark of the other
 * @param seed of what is irregular in it
 */
public record TableTexture(Pattern pattern, Vec3 light, Vec3 dark, int seed) {
  /** The kinds of table. */
  public enum Pattern {
    WOOD,
    MARBLE,
    GRANITE,
    TILES,
    GINGHAM
  }

  /** In two colours that instructions can name. */
  public static TableTexture of(Pattern pattern, Palette light, Palette dark, int seed) {
    return new TableTexture(
        pattern, Material.linear(light.rgb()), Material.linear(dark.rgb()), seed);
  }

  /** Linear RGB at a point of the table, in metres. */
  Vec3 colour(double x, double y) {
    double dark01 =
        switch (pattern) {
          case WOOD -> wood(x, y);
          case MARBLE -> {
            double vein = Math.abs(StrictMath.sin(14 * (x + 0.6 * y) + 5 * fractal(9 * x, 9 * y)));
            yield 0.75 * (1 - Math.sqrt(vein)) + 0.15 * fractal(20 * x, 20 * y);
          }
          case GRANITE -> 0.8 * fractal(60 * x, 60 * y) + 0.2 * noise(15 * x, 15 * y);
          case TILES -> {
            double gap = Math.min(edge(x / 0.11), edge(y / 0.11));
            yield gap < 0.03 ? 1 : 0.25 * fractal(12 * x, 12 * y);
          }
          case GINGHAM -> 0.4 * ((stripe(x) ? 1 : 0) + (stripe(y) ? 1 : 0)) + 0.05;
        };
    return light.mix(dark, Math.max(0, Math.min(1, dark01)));
  }

  private double wood(double x, double y) {
    int plank = (int) Math.floor(y / 0.085);
    double tone = hash(plank, 77);
    double grain = noise(4 * x + 31 * tone, 70 * y) * 0.6 + noise(11 * x, 150 * y) * 0.4;
    double seam = edge(y / 0.085) < 0.025 ? 0.6 : 0;
    return 0.35 * tone + 0.5 * grain + seam;
  }

  private static boolean stripe(double x) {
    return Math.floorMod((int) Math.floor(x / 0.03), 2) == 0;
  }

  /** Distance to the nearest whole number. */
  private static double edge(double x) {
    return Math.abs(x - Math.rint(x));
  }

  private double fractal(double x, double y) {
    return 0.55 * noise(x, y) + 0.3 * noise(2.1 * x, 2.1 * y) + 0.15 * noise(4.3 * x, 4.3 * y);
  }

  /** Value noise in 0 to 1. */
  private double noise(double x, double y) {
    int i = (int) Math.floor(x);
    int j = (int) Math.floor(y);
    double fx = smooth(x - i);
    double fy = smooth(y - j);
    double bottom = hash(i, j) + fx * (hash(i + 1, j) - hash(i, j));
    double top = hash(i, j + 1) + fx * (hash(i + 1, j + 1) - hash(i, j + 1));
    return bottom + fy * (top - bottom);
  }

  private static double smooth(double t) {
    return t * t * (3 - 2 * t);
  }

  private double hash(int i, int j) {
    int h = seed + i * 0x27d4eb2d + j * 0x165667b1;
    h = (h ^ h >>> 15) * 0x85ebca6b;
    h = (h ^ h >>> 13) * 0xc2b2ae35;
    return ((h ^ h >>> 16) & 0xffffff) / (double) 0x1000000;
  }
}
