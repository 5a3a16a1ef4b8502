package org.sightline.vla.tabletop;

/**
 * A truncated cone between two points: cylinders, arm links, carrots; with an open end, plates and
 * bowls, whose inside is then visible.
 */
final class CappedCone extends Solid {
  private final Vec3 start;
  private final Vec3 axis;
  private final double length;
  private final double startRadius;
  private final double endRadius;
  private final boolean open;

  CappedCone(Material material, Vec3 a, Vec3 b, double ra, double rb) {
    this(material, a, b, ra, rb, false);
  }

  /** From {@code a} with radius {@code ra} to {@code b} with {@code rb}, there open or not. */
  CappedCone(Material material, Vec3 a, Vec3 b, double ra, double rb, boolean open) {
    super(material, a.mix(b, 0.5), Math.hypot(b.minus(a).length() / 2, Math.max(ra, rb)));
    this.start = a;
    this.length = b.minus(a).length();
    this.axis = b.minus(a).times(1 / length);
    this.startRadius = ra;
    this.endRadius = rb;
    this.open = open;
  }

  @Override
  void solve(Ray ray, Hit hit) {
    double x = ray.ox - start.x();
    double y = ray.oy - start.y();
    double z = ray.oz - start.z();
    // Height above the start along the axis is h0 + t·h1; the radius there is r0 + t·r1.
    double h0 = x * axis.x() + y * axis.y() + z * axis.z();
    double h1 = ray.dx * axis.x() + ray.dy * axis.y() + ray.dz * axis.z();
    double slope = (endRadius - startRadius) / length;
    double r0 = startRadius + slope * h0;
    double r1 = slope * h1;
    double qa = 1 - h1 * h1 - r1 * r1;
    double qb = x * ray.dx + y * ray.dy + z * ray.dz - h0 * h1 - r0 * r1;
    double qc = x * x + y * y + z * z - h0 * h0 - r0 * r0;
    double discriminant = qb * qb - qa * qc;
    if (discriminant >= 0 && Math.abs(qa) > 1e-12) {
      double root = Math.sqrt(discriminant);
      side(ray, hit, (-qb - root) / qa, h0, h1, slope);
      side(ray, hit, (-qb + root) / qa, h0, h1, slope);
    }
    if (Math.abs(h1) > 1e-12) {
      cap(ray, hit, -h0 / h1, x, y, z, 0, startRadius);
      if (!open) {
        cap(ray, hit, (length - h0) / h1, x, y, z, length, endRadius);
      }
    }
  }

  private void side(Ray ray, Hit hit, double t, double h0, double h1, double slope) {
    double height = h0 + t * h1;
    if (!hit.accepts(t) || height < 0 || height > length) {
      return;
    }
    double px = ray.ox + t * ray.dx - start.x() - height * axis.x();
    double py = ray.oy + t * ray.dy - start.y() - height * axis.y();
    double pz = ray.oz + t * ray.dz - start.z() - height * axis.z();
    double radial = slope * Math.sqrt(px * px + py * py + pz * pz);
    hit.offer(this, ray, t, px - radial * axis.x(), py - radial * axis.y(), pz - radial * axis.z());
  }

  private void cap(
      Ray ray, Hit hit, double t, double x, double y, double z, double height, double capRadius) {
    if (!hit.accepts(t)) {
      return;
    }
    double px = x + t * ray.dx - height * axis.x();
    double py = y + t * ray.dy - height * axis.y();
    double pz = z + t * ray.dz - height * axis.z();
    if (px * px + py * py + pz * pz <= capRadius * capRadius) {
      hit.offer(this, ray, t, axis.x(), axis.y(), axis.z());
    }
  }
}
