package org.sightline.vla.tabletop;

/**
 * What no solid changes of the pictures of an episode: how the table looks from its camera, in full
 * light and in none. Its patterns are averaged over each pixel.
 */
final class Backdrop {
  /** The distance where a ray meets no table. */
  static final double NO_TABLE = Solid.FAR;

  private static final double GLOSS = 0.12;
  private static final double FLOOR = -0.6;
  private static final double[] TABLE_MIN = {-0.22, -0.52};
  private static final double[] TABLE_MAX = {0.62, 0.52};

  /** Samples of a pixel along each side. */
  private static final int SAMPLES = 2;

  private final Look look;
  private final Camera camera;
  private final float[] ambient;
  private final float[] direct;

  Backdrop(Look look, int size) {
    this.look = look;
    this.camera = Camera.of(look, size);
    this.ambient = new float[3 * size * size];
    this.direct = new float[3 * size * size];
    Solid.Ray ray = new Solid.Ray();
    for (int i = 0; i < size * size; i++) {
      pixel(ray, i, i % size, i / size);
    }
  }

  private void pixel(Solid.Ray ray, int pixel, int x, int y) {
    Vec3 unlit = new Vec3(0, 0, 0);
    Vec3 light = new Vec3(0, 0, 0);
    int count = 0;
    for (int k = 0; k < SAMPLES * SAMPLES; k++) {
      camera.aim(ray, x + (k % SAMPLES + 0.5) / SAMPLES, y + (k / SAMPLES + 0.5) / SAMPLES);
      double distance = distance(ray);
      if (distance < NO_TABLE) {
        Vec3 direction = new Vec3(ray.dx, ray.dy, ray.dz);
        Vec3 colour = look.table().colour(ray.ox + distance * ray.dx, ray.oy + distance * ray.dy);
        unlit = unlit.plus(look.ambientOn(Vec3.UP).times(colour));
        light = light.plus(look.directOn(Vec3.UP, direction, colour, GLOSS));
        count++;
      }
    }
    put(ambient, pixel, unlit.times(1.0 / Math.max(1, count)));
    put(direct, pixel, light.times(1.0 / Math.max(1, count)));
  }

  private static void put(float[] image, int pixel, Vec3 colour) {
    image[3 * pixel] = (float) colour.x();
    image[3 * pixel + 1] = (float) colour.y();
    image[3 * pixel + 2] = (float) colour.z();
  }

  Look look() {
    return look;
  }

  Camera camera() {
    return camera;
  }

  /** What the table of a pixel shows in the dark, by channel. */
  double ambient(int pixel, int channel) {
    return ambient[3 * pixel + channel];
  }

  /** What light adds to it. */
  double direct(int pixel, int channel) {
    return direct[3 * pixel + channel];
  }

  /** How far a ray goes to the table, or {@link #NO_TABLE}. */
  double distance(Solid.Ray ray) {
    double t = -ray.oz / ray.dz;
    double x = ray.ox + t * ray.dx;
    double y = ray.oy + t * ray.dy;
    boolean on =
        t > 0 && x > TABLE_MIN[0] && x < TABLE_MAX[0] && y > TABLE_MIN[1] && y < TABLE_MAX[1];
    return on ? t : NO_TABLE;
  }

  /** Wall, or floor below it, darker with distance from the light. */
  Vec3 wall(Solid.Ray ray) {
    double toFloor = (FLOOR - ray.oz) / ray.dz;
    if (toFloor > 0 && ray.ox + toFloor * ray.dx > -0.9) {
      return look.wall().times(0.16);
    }
    return look.wall().times(0.55 + 0.5 * Math.max(-0.5, ray.dz));
  }
}
