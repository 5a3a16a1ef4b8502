package org.sightline.vla.tabletop;

/**
 * Squares of pixels, and which groups can matter to each: be seen in it, or come between its part
 * of the table and the light. Bounds are generous, never tight.
 */
final class Tiles {
  private static final int SIDE = 12;

  private final int size;
  private final int across;
  private final int[][] seen;
  private final int[][] shading;

  Tiles(Backdrop backdrop, SolidGroup[] groups) {
    Camera camera = backdrop.camera();
    size = camera.size();
    across = (size + SIDE - 1) / SIDE;
    seen = new int[across * across][];
    shading = new int[across * across][];
    boolean[] chosen = new boolean[groups.length];
    Solid.Ray ray = new Solid.Ray();
    for (int tile = 0; tile < across * across; tile++) {
      double left = tile % across * SIDE;
      double top = tile / across * SIDE;
      camera.aim(ray, left + SIDE / 2.0, top + SIDE / 2.0);
      Vec3 axis = new Vec3(ray.dx, ray.dy, ray.dz);
      // Half the diagonal of a tile, as a tangent; largest in the middle of the picture.
      double spread = camera.half() * SIDE * Math.sqrt(2) / size;
      for (int i = 0; i < groups.length; i++) {
        Vec3 offset = groups[i].centre.minus(camera.eye());
        double along = offset.dot(axis);
        double aside = offset.minus(axis.times(along)).length();
        chosen[i] = aside <= along * spread + groups[i].radius * (1 + spread);
      }
      seen[tile] = indices(chosen);
      circle(backdrop, groups, ray, tile, left, top, chosen);
    }
  }

  /** The table that a tile shows lies in a circle. */
  private void circle(
      Backdrop backdrop,
      SolidGroup[] groups,
      Solid.Ray ray,
      int tile,
      double left,
      double top,
      boolean[] chosen) {
    Vec3[] corners = new Vec3[4];
    Vec3 centre = new Vec3(0, 0, 0);
    boolean below = true;
    for (int k = 0; k < 4; k++) {
      backdrop.camera().aim(ray, left + k % 2 * SIDE, top + k / 2 * SIDE);
      double t = -ray.oz / ray.dz;
      below &= t > 0;
      corners[k] = new Vec3(ray.ox + t * ray.dx, ray.oy + t * ray.dy, 0);
      centre = centre.plus(corners[k].times(0.25));
    }
    double radius = 0;
    for (Vec3 corner : corners) {
      radius = Math.max(radius, corner.minus(centre).length());
    }
    Vec3 light = backdrop.look().light();
    for (int i = 0; i < groups.length; i++) {
      Vec3 offset = groups[i].centre.minus(centre);
      double aside = offset.minus(light.times(offset.dot(light))).length();
      chosen[i] = !below || aside <= groups[i].radius + radius;
    }
    shading[tile] = indices(chosen);
  }

  private static int[] indices(boolean[] chosen) {
    int count = 0;
    for (boolean is : chosen) {
      count += is ? 1 : 0;
    }
    int[] indices = new int[count];
    for (int i = 0, at = 0; i < chosen.length; i++) {
      if (chosen[i]) {
        indices[at++] = i;
      }
    }
    return indices;
  }

  /** The tile of a pixel. */
  int of(int pixel) {
    return pixel / size / SIDE * across + pixel % size / SIDE;
  }

  int[] seen(int tile) {
    return seen[tile];
  }

  int[] shading(int tile) {
    return shading[tile];
  }
}
