package org.sightline.vla.tabletop;

/**
 * Something a ray can hit. Subclasses solve for the nearest intersection; a bounding sphere spares
 * them most rays, see {@link SolidGroup}.
 */
abstract sealed class Solid permits Ellipsoid, OrientedBox, CappedCone {
  /** Farther than anything. */
  static final double FAR = 100;

  final Material material;
  final Vec3 centre;
  final double radius;

  Solid(Material material, Vec3 centre, double radius) {
    this.material = material;
    this.centre = centre;
    this.radius = radius;
  }

  /** Records the nearest intersection if it is closer than the one in {@code hit}. */
  abstract void solve(Ray ray, Hit hit);

  /** A ray with a unit direction; mutable, so that millions need no allocation. */
  static final class Ray {
    double ox;
    double oy;
    double oz;
    double dx;
    double dy;
    double dz;

    void set(Vec3 origin, Vec3 direction) {
      set(origin, direction.x(), direction.y(), direction.z());
    }

    void set(Vec3 origin, double x, double y, double z) {
      ox = origin.x();
      oy = origin.y();
      oz = origin.z();
      dx = x;
      dy = y;
      dz = z;
    }

    void set(double x, double y, double z, Vec3 direction) {
      ox = x;
      oy = y;
      oz = z;
      dx = direction.x();
      dy = direction.y();
      dz = direction.z();
    }

    /** Whether it passes a sphere by, or meets it only beyond a distance. */
    boolean misses(Vec3 centre, double radius, double far) {
      double x = centre.x() - ox;
      double y = centre.y() - oy;
      double z = centre.z() - oz;
      double along = x * dx + y * dy + z * dz;
      double distance2 = x * x + y * y + z * z - along * along;
      return distance2 > radius * radius || along + radius < 0 || along - radius > far;
    }
  }

  /** The nearest hit so far. */
  static final class Hit {
    /** Hits nearer than this are the surface the ray started on. */
    static final double NEAR = 1e-5;

    double t;
    Solid solid;

    // Its normal, of any length, towards the viewer.
    private double nx;
    private double ny;
    private double nz;

    /** Of the group that it belongs to, which sets it. */
    int entity;

    void reset(double far) {
      t = far;
      solid = null;
    }

    boolean accepts(double distance) {
      return distance > NEAR && distance < t;
    }

    /** Takes a nearer hit; the normal is turned against the ray and need not have unit length. */
    void offer(Solid by, Ray ray, double distance, double x, double y, double z) {
      double side = x * ray.dx + y * ray.dy + z * ray.dz > 0 ? -1 : 1;
      t = distance;
      nx = side * x;
      ny = side * y;
      nz = side * z;
      solid = by;
    }

    /** The normal's unit vector. */
    Vec3 normal() {
      return new Vec3(nx, ny, nz).normalized();
    }
  }
}
