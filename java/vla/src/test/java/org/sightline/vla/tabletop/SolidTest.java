package org.sightline.vla.tabletop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import java.util.function.Predicate;
import org.junit.jupiter.api.Test;

/** The intersections against marching along the ray with a plain inside test. */
class SolidTest {
  private static final Material GREY = Material.of(0x808080, 0);
  private static final double MARCH = 2e-4;

  @Test
  void ellipsoid() {
    Frame frame = Frame.euler(new Vec3(0.1, -0.05, 0.2), 0.4, -0.3, 1.1);
    check(
        new Ellipsoid(GREY, frame, 0.10, 0.05, 0.03),
        p -> {
          Vec3 q = local(frame, p);
          return sq(q.x() / 0.10) + sq(q.y() / 0.05) + sq(q.z() / 0.03) < 1;
        });
  }

  @Test
  void box() {
    Frame frame = Frame.euler(new Vec3(0, 0.1, 0.1), -0.2, 0.5, 0.7);
    check(
        new OrientedBox(GREY, frame, 0.08, 0.02, 0.05),
        p -> {
          Vec3 q = local(frame, p);
          return Math.abs(q.x()) < 0.08 && Math.abs(q.y()) < 0.02 && Math.abs(q.z()) < 0.05;
        });
  }

  @Test
  void closedCones() {
    Vec3 a = new Vec3(0.02, 0.01, 0);
    Vec3 b = new Vec3(-0.03, 0.06, 0.11);
    for (double[] radii : new double[][] {{0.05, 0.05}, {0.02, 0.06}, {0.06, 0.001}}) {
      check(new CappedCone(GREY, a, b, radii[0], radii[1]), cone(a, b, radii[0], radii[1]));
    }
  }

  private static Predicate<Vec3> cone(Vec3 a, Vec3 b, double ra, double rb) {
    double length = b.minus(a).length();
    Vec3 axis = b.minus(a).times(1 / length);
    return p -> {
      double h = p.minus(a).dot(axis);
      double r = p.minus(a).minus(axis.times(h)).length();
      return h > 0 && h < length && r < ra + (rb - ra) * h / length;
    };
  }

  /** From above, an open bowl shows its bottom where a closed one shows its lid. */
  @Test
  void openConesShowTheirInside() {
    Vec3 a = new Vec3(0, 0, 0);
    Vec3 b = new Vec3(0, 0, 0.05);
    Solid.Ray ray = new Solid.Ray();
    ray.set(new Vec3(0.01, 0, 1), new Vec3(0, 0, -1));
    for (boolean open : new boolean[] {true, false}) {
      Solid.Hit hit = cast(new CappedCone(GREY, a, b, 0.04, 0.06, open), ray);
      assertEquals(open ? 1 : 0.95, hit.t, 1e-12);
      assertEquals(1, hit.normal().z(), 1e-12);
    }
    // Slanted into the bowl: the far wall from inside, its normal turned to the viewer.
    Vec3 direction = new Vec3(1, 0, -0.6).normalized();
    ray.set(new Vec3(-0.05, 0, 0.08), direction);
    Solid.Hit hit = cast(new CappedCone(GREY, a, b, 0.04, 0.06, true), ray);
    assertTrue(hit.normal().x() < 0 && hit.normal().dot(direction) < 0);
  }

  private static void check(Solid solid, Predicate<Vec3> inside) {
    Random random = new Random(42);
    SolidGroup group = new SolidGroup(0, List.of(solid));
    int hits = 0;
    for (int i = 0; i < 400; i++) {
      Vec3 origin = direction(random).times(0.5).plus(solid.centre);
      Vec3 target = solid.centre.plus(direction(random).times(solid.radius * random.nextDouble()));
      Vec3 direction = target.minus(origin).normalized();
      Solid.Ray ray = new Solid.Ray();
      ray.set(origin, direction);
      Solid.Hit hit = new Solid.Hit();
      hit.reset(10);
      group.intersect(ray, hit);
      double t = march(origin, direction, inside);
      if (hit.solid == null) {
        // Marching may only find what a grazing ray cuts by less than a step or two.
        assertTrue(Double.isNaN(t), "missed a hit at " + t);
        continue;
      }
      if (Double.isNaN(t)) {
        Vec3 shallow = origin.plus(direction.times(hit.t));
        assertTrue(nearby(shallow, inside), "hit nothing at " + hit.t);
        continue;
      }
      hits++;
      assertEquals(t, hit.t, 2 * MARCH);
      assertEquals(1, hit.normal().length(), 1e-9);
      assertTrue(hit.normal().dot(direction) <= 0, "the normal faces the viewer");
      Vec3 point = origin.plus(direction.times(hit.t));
      assertTrue(
          inside.test(point.minus(hit.normal().times(5e-5))), "behind the surface is inside");
      assertTrue(!inside.test(point.plus(hit.normal().times(5e-5))), "before it is outside");
    }
    assertTrue(hits > 150, "only " + hits + " hits compared");
  }

  private static boolean nearby(Vec3 point, Predicate<Vec3> inside) {
    Random random = new Random(1);
    for (int i = 0; i < 2000; i++) {
      if (inside.test(point.plus(direction(random).times(1e-3)))) {
        return true;
      }
    }
    return false;
  }

  private static double march(Vec3 origin, Vec3 direction, Predicate<Vec3> inside) {
    for (double t = 0; t < 1; t += MARCH) {
      if (inside.test(origin.plus(direction.times(t)))) {
        return t;
      }
    }
    return Double.NaN;
  }

  private static Solid.Hit cast(Solid solid, Solid.Ray ray) {
    Solid.Hit hit = new Solid.Hit();
    hit.reset(10);
    new SolidGroup(0, List.of(solid)).intersect(ray, hit);
    return hit;
  }

  private static Vec3 direction(Random random) {
    return new Vec3(random.nextGaussian(), random.nextGaussian(), random.nextGaussian())
        .normalized();
  }

  private static Vec3 local(Frame frame, Vec3 p) {
    Vec3 q = p.minus(frame.origin());
    return new Vec3(q.dot(frame.u()), q.dot(frame.v()), q.dot(frame.w()));
  }

  private static double sq(double x) {
    return x * x;
  }
}
