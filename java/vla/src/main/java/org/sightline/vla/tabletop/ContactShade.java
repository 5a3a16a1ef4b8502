package org.sightline.vla.tabletop;

/**
 * How the table darkens where solids are near: computed on a grid of pixels, and smooth between, as
 * it is itself.
 */
final class ContactShade {
  private static final int SPACING = 4;

  private final int size;
  private final int across;
  private final double[] covered;

  ContactShade(Camera camera, SolidGroup[] groups) {
    size = camera.size();
    across = size / SPACING + 2;
    covered = new double[across * across];
    Solid.Ray ray = new Solid.Ray();
    for (int i = 0; i < covered.length; i++) {
      camera.aim(ray, i % across * SPACING, i / across * SPACING);
      double t = -ray.oz / ray.dz;
      if (t > 0) {
        for (SolidGroup group : groups) {
          covered[i] += group.occlusion(ray.ox + t * ray.dx, ray.oy + t * ray.dy, 0, 0, 0, 1);
        }
      }
    }
  }

  /** The share of ambient light that the middle of a pixel gets. */
  double openness(int pixel) {
    double x = (pixel % size + 0.5) / SPACING;
    double y = (pixel / size + 0.5) / SPACING;
    int at = (int) y * across + (int) x;
    double fx = x - (int) x;
    double fy = y - (int) y;
    double above = covered[at] + fx * (covered[at + 1] - covered[at]);
    int below = at + across;
    double under = covered[below] + fx * (covered[below + 1] - covered[below]);
    return openness(above + fy * (under - above));
  }

  /** The same for what is covered. */
  static double openness(double covered) {
    return 1 - Math.min(0.6, 0.7 * covered);
  }
}
