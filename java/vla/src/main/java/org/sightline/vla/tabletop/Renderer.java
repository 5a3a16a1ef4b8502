package org.sightline.vla.tabletop;

import java.util.List;
import org.sightline.vla.data.image.RgbImage;

/**
 * A small ray caster: solids on a table, one light with shadows, ambient light with contact
 * darkening, highlights. One ray a pixel, and four more at the edges of solids and shadows. Pure
 * arithmetic with no drawing toolkit behind it, so pictures do not depend on the desktop. What the
 * solids cannot change is in the {@link Backdrop}, and {@link Tiles} say which solids can matter to
 * a pixel.
 */
final class Renderer {
  private static final double[] SUB_X = {0.125, 0.625, 0.375, 0.875};

  private final Look look;
  private final Backdrop backdrop;
  private final Camera camera;
  private final SolidGroup[] groups;
  private final Tiles tiles;
  private final ContactShade contact;
  private final Solid.Ray ray = new Solid.Ray();
  private final Solid.Hit hit = new Solid.Hit();

  // Of each pixel's middle: linear colour, the solid seen, whether light reached it.
  private final int size;
  private final double[] colours;
  private final Solid[] solids;
  private final boolean[] light;
  private final int[] beside = new int[4];

  // The same of the last point looked at; no solid is table or wall.
  private double red;
  private double green;
  private double blue;
  private Solid seen;
  private int entity;
  private boolean lit;

  private Renderer(Backdrop backdrop, List<SolidGroup> groups) {
    this.backdrop = backdrop;
    this.look = backdrop.look();
    this.camera = backdrop.camera();
    this.groups = groups.toArray(SolidGroup[]::new);
    this.tiles = new Tiles(backdrop, this.groups);
    this.size = camera.size();
    this.colours = new double[3 * size * size];
    this.solids = new Solid[size * size];
    this.light = new boolean[size * size];
    this.contact = new ContactShade(camera, this.groups);
  }

  /** Renders the solids before a backdrop, in its size. */
  static View render(Backdrop backdrop, List<SolidGroup> groups) {
    return new Renderer(backdrop, groups).render();
  }

  private View render() {
    byte[] entities = new byte[size * size];
    for (int i = 0; i < size * size; i++) {
      look(i % size + 0.5, i / size + 0.5, i);
      shade(i);
      colours[3 * i] = red;
      colours[3 * i + 1] = green;
      colours[3 * i + 2] = blue;
      solids[i] = seen;
      light[i] = lit;
      entities[i] = (byte) entity;
    }
    byte[] pixels = new byte[size * size * 3];
    for (int i = 0; i < size * size; i++) {
      double r = colours[3 * i];
      double g = colours[3 * i + 1];
      double b = colours[3 * i + 2];
      if (isEdge(i)) {
        for (int k = 0; k < 4; k++) {
          // A rotated grid: four distinct rows and columns within the pixel.
          refine(i % size + SUB_X[k], i / size + 0.125 + 0.25 * k, i);
          r += red;
          g += green;
          b += blue;
        }
        r *= 0.2;
        g *= 0.2;
        b *= 0.2;
      }
      pixels[3 * i] = display(r);
      pixels[3 * i + 1] = display(g);
      pixels[3 * i + 2] = display(b);
    }
    return new View(new RgbImage(size, size, pixels), entities);
  }

  /** Whether a neighbour shows another solid, or the edge of a shadow on the table. */
  private boolean isEdge(int i) {
    for (int j : neighbours(i)) {
      if (solids[i] != solids[j] || solids[i] == null && light[i] != light[j]) {
        return true;
      }
    }
    return false;
  }

  /** The pixels beside, above and below, or the pixel itself at a side of the picture. */
  private int[] neighbours(int i) {
    beside[0] = i % size > 0 ? i - 1 : i;
    beside[1] = i % size < size - 1 ? i + 1 : i;
    beside[2] = i >= size ? i - size : i;
    beside[3] = i < size * (size - 1) ? i + size : i;
    return beside;
  }

  /** Sees through a point of a pixel; a solid that a neighbour shows has that one's colour. */
  private void refine(double px, double py, int pixel) {
    look(px, py, pixel);
    if (seen != null) {
      int same = solids[pixel] == seen ? pixel : -1;
      for (int j : neighbours(pixel)) {
        same = same < 0 && solids[j] == seen ? j : same;
      }
      if (same >= 0) {
        red = colours[3 * same];
        green = colours[3 * same + 1];
        blue = colours[3 * same + 2];
        return;
      }
    }
    shade(pixel);
  }

  /** Gamma 2, with a soft shoulder instead of a hard clip. */
  private static byte display(double linear) {
    double compressed = linear <= 0.7 ? linear : 0.7 + 0.3 * (1 - 1 / (1 + (linear - 0.7) / 0.3));
    return (byte) Math.min(255, (int) (255 * Math.sqrt(compressed) + 0.5));
  }

  /** What is seen through a point of a pixel. */
  private void look(double px, double py, int pixel) {
    camera.aim(ray, px, py);
    hit.reset(backdrop.distance(ray));
    for (int group : tiles.seen(tiles.of(pixel))) {
      groups[group].intersect(ray, hit);
    }
    seen = hit.solid;
    entity = seen == null ? 0 : hit.entity;
  }

  /** Its colour. */
  private void shade(int pixel) {
    if (seen != null) {
      solid();
    } else if (hit.t < Backdrop.NO_TABLE) {
      table(pixel);
    } else {
      lit = true;
      set(backdrop.wall(ray));
    }
  }

  private void set(Vec3 colour) {
    red = colour.x();
    green = colour.y();
    blue = colour.z();
  }

  /** The backdrop's colour, darker where solids are near or before the light. */
  private void table(int pixel) {
    double x = ray.ox + hit.t * ray.dx;
    double y = ray.oy + hit.t * ray.dy;
    lit = true;
    int[] between = tiles.shading(tiles.of(pixel));
    if (between.length > 0) {
      ray.set(x, y, 1e-4, look.light());
      hit.reset(Solid.FAR);
      for (int group : between) {
        if (groups[group].intersect(ray, hit)) {
          lit = false;
          break;
        }
      }
    }
    double open = contact.openness(pixel);
    double direct = lit ? 1 : 0;
    red = backdrop.ambient(pixel, 0) * open + backdrop.direct(pixel, 0) * direct;
    green = backdrop.ambient(pixel, 1) * open + backdrop.direct(pixel, 1) * direct;
    blue = backdrop.ambient(pixel, 2) * open + backdrop.direct(pixel, 2) * direct;
  }

  private void solid() {
    Vec3 normal = hit.normal();
    Vec3 direction = new Vec3(ray.dx, ray.dy, ray.dz);
    Vec3 point =
        new Vec3(ray.ox + hit.t * ray.dx, ray.oy + hit.t * ray.dy, ray.oz + hit.t * ray.dz);
    Material material = hit.solid.material;
    double covered = 0;
    for (SolidGroup group : groups) {
      covered +=
          group.occlusion(point.x(), point.y(), point.z(), normal.x(), normal.y(), normal.z());
    }
    lit = normal.dot(look.light()) > 0;
    if (lit) {
      ray.set(
          point.x() + 1e-4 * normal.x(),
          point.y() + 1e-4 * normal.y(),
          point.z() + 1e-4 * normal.z(),
          look.light());
      hit.reset(Solid.FAR);
      for (SolidGroup group : groups) {
        if (group.intersect(ray, hit)) {
          lit = false;
          break;
        }
      }
    }
    Vec3 colour = material.colour(point);
    Vec3 result = look.ambientOn(normal).times(colour).times(ContactShade.openness(covered));
    if (lit) {
      result = result.plus(look.directOn(normal, direction, colour, material.gloss()));
    }
    set(result);
  }
}
