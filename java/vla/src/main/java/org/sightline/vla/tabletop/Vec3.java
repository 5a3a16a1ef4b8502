package org.sightline.vla.tabletop;

/** A point, direction or linear RGB colour. */
public record Vec3(double x, double y, double z) {
  static final Vec3 UP = new Vec3(0, 0, 1);

  Vec3 plus(Vec3 o) {
    return new Vec3(x + o.x, y + o.y, z + o.z);
  }

  Vec3 minus(Vec3 o) {
    return new Vec3(x - o.x, y - o.y, z - o.z);
  }

  Vec3 times(double s) {
    return new Vec3(x * s, y * s, z * s);
  }

  Vec3 times(Vec3 o) {
    return new Vec3(x * o.x, y * o.y, z * o.z);
  }

  double dot(Vec3 o) {
    return x * o.x + y * o.y + z * o.z;
  }

  Vec3 cross(Vec3 o) {
    return new Vec3(y * o.z - z * o.y, z * o.x - x * o.z, x * o.y - y * o.x);
  }

  double length() {
    return Math.sqrt(dot(this));
  }

  Vec3 normalized() {
    return times(1 / length());
  }

  /** The point a fraction {@code t} of the way to another. */
  Vec3 mix(Vec3 o, double t) {
    return plus(o.minus(this).times(t));
  }
}
