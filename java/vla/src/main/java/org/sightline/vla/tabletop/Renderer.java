package org.sightline.vla.tabletop;

import java.util.List;
import org.sightline.vla.data.image.RgbImage;

/**
 * A small ray caster: solids on a table, one light with shadows, ambient light with contact
 * darkening, highlights. One ray a pixel, and four more where neighbouring pixels differ. Pure
 * arithmetic with no drawing toolkit behind it, so pictures do not depend on the desktop.
 */
final class Renderer {
  private static final double FAR = 100;
  private static final double FLOOR = -0.6;
  private static final double[] TABLE_MIN = {-0.22, -0.52};
  private static final double[] TABLE_MAX = {0.62, 0.52};

  /** Squared linear colour distance of neighbours above which a pixel is refined. */
  private static final double EDGE = 0.01;

  private final Look look;
  private final List<SolidGroup> groups;
  private final Vec3 forward;
  private final Vec3 right;
  private final Vec3 up;
  private final Solid.Ray ray = new Solid.Ray();
  private final Solid.Hit hit = new Solid.Hit();

  private Renderer(Look look, List<SolidGroup> groups) {
    this.look = look;
    this.groups = groups;
    forward = look.target().minus(look.eye()).normalized();
    right = forward.cross(Vec3.UP).normalized();
    up = right.cross(forward);
  }

  /** Renders a square picture of {@code size} pixels. */
  static RgbImage render(Look look, List<SolidGroup> groups, int size) {
    return new Renderer(look, groups).render(size);
  }

  private RgbImage render(int size) {
    Vec3[] first = new Vec3[size * size];
    for (int i = 0; i < first.length; i++) {
      first[i] = sample(i % size + 0.5, i / size + 0.5, size);
    }
    byte[] pixels = new byte[size * size * 3];
    for (int y = 0; y < size; y++) {
      for (int x = 0; x < size; x++) {
        Vec3 colour = first[y * size + x];
        if (isEdge(first, x, y, size)) {
          Vec3 sum = colour;
          for (int k = 0; k < 4; k++) {
            // A rotated grid: four distinct rows and columns within the pixel.
            double dx = new double[] {0.125, 0.625, 0.375, 0.875}[k];
            sum = sum.plus(sample(x + dx, y + 0.125 + 0.25 * k, size));
          }
          colour = sum.times(0.2);
        }
        int at = (y * size + x) * 3;
        pixels[at] = display(colour.x());
        pixels[at + 1] = display(colour.y());
        pixels[at + 2] = display(colour.z());
      }
    }
    return new RgbImage(size, size, pixels);
  }

  private static boolean isEdge(Vec3[] image, int x, int y, int size) {
    Vec3 here = image[y * size + x];
    return (x > 0 && differ(here, image[y * size + x - 1]))
        || (x < size - 1 && differ(here, image[y * size + x + 1]))
        || (y > 0 && differ(here, image[(y - 1) * size + x]))
        || (y < size - 1 && differ(here, image[(y + 1) * size + x]));
  }

  private static boolean differ(Vec3 a, Vec3 b) {
    Vec3 difference = a.minus(b);
    return difference.dot(difference) > EDGE;
  }

  /** Gamma 2, with a soft shoulder instead of a hard clip. */
  private static byte display(double linear) {
    double compressed = linear <= 0.7 ? linear : 0.7 + 0.3 * (1 - 1 / (1 + (linear - 0.7) / 0.3));
    return (byte) Math.min(255, (int) (255 * Math.sqrt(compressed) + 0.5));
  }

  /** The linear colour seen through a point of the picture. */
  private Vec3 sample(double px, double py, int size) {
    double half = Math.tan(look.fieldOfView() / 2);
    double sx = (2 * px / size - 1) * half;
    double sy = (1 - 2 * py / size) * half;
    Vec3 direction = forward.plus(right.times(sx)).plus(up.times(sy)).normalized();
    cast(look.eye(), direction, FAR);
    double toTable = -look.eye().z() / direction.z();
    if (toTable > 0 && toTable < hit.t) {
      Vec3 point = look.eye().plus(direction.times(toTable));
      if (onTable(point)) {
        return shade(point, Vec3.UP, direction, look.table().colour(point.x(), point.y()), 0.12);
      }
    }
    if (hit.solid == null) {
      return background(direction);
    }
    Vec3 point = look.eye().plus(direction.times(hit.t));
    Material material = hit.solid.material;
    Vec3 colour = material.colour();
    if (material.stripes() > 0) {
      double across = (point.x() + point.y()) / material.stripes();
      colour = Math.floorMod((int) Math.floor(across), 2) == 0 ? colour : colour.times(0.62);
    }
    return shade(point, hit.normal, direction, colour, material.gloss());
  }

  private static boolean onTable(Vec3 p) {
    return p.x() > TABLE_MIN[0]
        && p.x() < TABLE_MAX[0]
        && p.y() > TABLE_MIN[1]
        && p.y() < TABLE_MAX[1];
  }

  /** Wall, or floor below it, darker with distance from the light. */
  private Vec3 background(Vec3 direction) {
    double toFloor = (FLOOR - look.eye().z()) / direction.z();
    if (toFloor > 0) {
      double x = look.eye().x() + toFloor * direction.x();
      if (x > -0.9) {
        return look.wall().times(0.16);
      }
    }
    return look.wall().times(0.55 + 0.5 * Math.max(-0.5, direction.z()));
  }

  private void cast(Vec3 origin, Vec3 direction, double far) {
    ray.set(origin, direction);
    hit.reset(far);
    for (SolidGroup group : groups) {
      group.intersect(ray, hit);
    }
  }

  private Vec3 shade(Vec3 point, Vec3 normal, Vec3 direction, Vec3 colour, double gloss) {
    double openness = 1 - occlusion(point, normal);
    Vec3 result = look.ambient().times(openness * (0.75 + 0.25 * normal.z()));
    double lambert = normal.dot(look.light());
    double highlight = 0;
    if (lambert > 0) {
      cast(point.plus(normal.times(1e-4)), look.light(), FAR);
      if (hit.solid == null) {
        result = result.plus(look.lightColour().times(lambert));
        Vec3 halfway = look.light().minus(direction).normalized();
        double alignment = Math.max(0, normal.dot(halfway));
        double power = alignment * alignment;
        power *= power;
        power *= power;
        power *= power; // alignment^16
        highlight = gloss * power * power;
      }
    }
    return result.times(colour).plus(look.lightColour().times(0.5 * highlight));
  }

  /** How much of the sky the groups' bounding spheres hide from a point, softly. */
  private double occlusion(Vec3 point, Vec3 normal) {
    double sum = 0;
    for (SolidGroup group : groups) {
      double x = group.centre.x() - point.x();
      double y = group.centre.y() - point.y();
      double z = group.centre.z() - point.z();
      double distance2 = x * x + y * y + z * z;
      double r2 = group.radius * group.radius;
      if (distance2 > r2 && distance2 < 16 * r2) {
        double cosine = (x * normal.x() + y * normal.y() + z * normal.z()) / Math.sqrt(distance2);
        sum += Math.max(0, cosine) * r2 / distance2;
      }
    }
    return Math.min(0.6, 0.7 * sum);
  }
}
