package org.sightline.vla.tabletop;

/** A pose: an origin and three orthonormal axes. */
record Frame(Vec3 origin, Vec3 u, Vec3 v, Vec3 w) {
  /** Turned about the vertical by {@code yaw} radians. */
  static Frame yaw(Vec3 origin, double yaw) {
    double c = StrictMath.cos(yaw);
    double s = StrictMath.sin(yaw);
    return new Frame(origin, new Vec3(c, s, 0), new Vec3(-s, c, 0), Vec3.UP);
  }

  /** Roll about x, then pitch about y, then yaw about z, in radians. */
  static Frame euler(Vec3 origin, double roll, double pitch, double yaw) {
    double cr = StrictMath.cos(roll);
    double sr = StrictMath.sin(roll);
    double cp = StrictMath.cos(pitch);
    double sp = StrictMath.sin(pitch);
    double cy = StrictMath.cos(yaw);
    double sy = StrictMath.sin(yaw);
    return new Frame(
        origin,
        new Vec3(cy * cp, sy * cp, -sp),
        new Vec3(cy * sp * sr - sy * cr, sy * sp * sr + cy * cr, cp * sr),
        new Vec3(cy * sp * cr + sy * sr, sy * sp * cr - cy * sr, cp * cr));
  }

  /** The point with these coordinates in this frame. */
  Vec3 at(double a, double b, double c) {
    return origin.plus(u.times(a)).plus(v.times(b)).plus(w.times(c));
  }

  /** The same axes at a point given in this frame. */
  Frame moved(double a, double b, double c) {
    return new Frame(at(a, b, c), u, v, w);
  }
}
