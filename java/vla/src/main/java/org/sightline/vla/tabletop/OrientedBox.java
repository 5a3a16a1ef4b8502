package org.sightline.vla.tabletop;

/** A box along the axes of a frame. */
final class OrientedBox extends Solid {
  private final Frame frame;
  private final double[] half;

  /** Half extents in metres along the frame's axes. */
  OrientedBox(Material material, Frame frame, double a, double b, double c) {
    super(material, frame.origin(), Math.sqrt(a * a + b * b + c * c));
    this.frame = frame;
    this.half = new double[] {a, b, c};
  }

  @Override
  void solve(Ray ray, Hit hit) {
    double near = Double.NEGATIVE_INFINITY;
    double far = Double.POSITIVE_INFINITY;
    Vec3 nearAxis = null;
    Vec3 farAxis = null;
    for (int i = 0; i < 3; i++) {
      Vec3 axis = i == 0 ? frame.u() : i == 1 ? frame.v() : frame.w();
      double direction = ray.dx * axis.x() + ray.dy * axis.y() + ray.dz * axis.z();
      double origin =
          (ray.ox - centre.x()) * axis.x()
              + (ray.oy - centre.y()) * axis.y()
              + (ray.oz - centre.z()) * axis.z();
      double t1 = (-half[i] - origin) / direction;
      double t2 = (half[i] - origin) / direction;
      // A ray along a face divides by zero; the infinities order correctly, NaN rejects below.
      double enter = Math.min(t1, t2);
      double leave = Math.max(t1, t2);
      if (enter > near) {
        near = enter;
        nearAxis = axis;
      }
      if (leave < far) {
        far = leave;
        farAxis = axis;
      }
    }
    if (!(near <= far)) {
      return;
    }
    boolean outside = hit.accepts(near);
    if (outside || hit.accepts(far)) {
      Vec3 axis = outside ? nearAxis : farAxis;
      if (axis != null) {
        hit.offer(this, ray, outside ? near : far, axis.x(), axis.y(), axis.z());
      }
    }
  }
}
