package org.sightline.vla.tabletop;

/** An ellipsoid: the unit sphere, stretched along the axes of a frame. */
final class Ellipsoid extends Solid {
  private final Frame frame;
  private final double a;
  private final double b;
  private final double c;

  /** Semi-axes {@code a, b, c} in metres along the frame's axes. */
  Ellipsoid(Material material, Frame frame, double a, double b, double c) {
    super(material, frame.origin(), Math.max(a, Math.max(b, c)));
    this.frame = frame;
    this.a = a;
    this.b = b;
    this.c = c;
  }

  @Override
  void solve(Ray ray, Hit hit) {
    Vec3 u = frame.u();
    Vec3 v = frame.v();
    Vec3 w = frame.w();
    double x = ray.ox - centre.x();
    double y = ray.oy - centre.y();
    double z = ray.oz - centre.z();
    double ox = (x * u.x() + y * u.y() + z * u.z()) / a;
    double oy = (x * v.x() + y * v.y() + z * v.z()) / b;
    double oz = (x * w.x() + y * w.y() + z * w.z()) / c;
    double dx = (ray.dx * u.x() + ray.dy * u.y() + ray.dz * u.z()) / a;
    double dy = (ray.dx * v.x() + ray.dy * v.y() + ray.dz * v.z()) / b;
    double dz = (ray.dx * w.x() + ray.dy * w.y() + ray.dz * w.z()) / c;
    double qa = dx * dx + dy * dy + dz * dz;
    double qb = ox * dx + oy * dy + oz * dz;
    double qc = ox * ox + oy * oy + oz * oz - 1;
    double discriminant = qb * qb - qa * qc;
    if (discriminant < 0) {
      return;
    }
    double root = Math.sqrt(discriminant);
    double t = (-qb - root) / qa;
    if (!hit.accepts(t)) {
      t = (-qb + root) / qa;
      if (!hit.accepts(t)) {
        return;
      }
    }
    double nu = (ox + t * dx) / a;
    double nv = (oy + t * dy) / b;
    double nw = (oz + t * dz) / c;
    hit.offer(
        this,
        ray,
        t,
        nu * u.x() + nv * v.x() + nw * w.x(),
        nu * u.y() + nv * v.y() + nw * w.y(),
        nu * u.z() + nv * v.z() + nw * w.z());
  }
}
