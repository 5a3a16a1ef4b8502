package org.sightline.vla.tabletop;

import java.util.List;

/** Solids that lie together, in one bounding sphere: most rays miss all of them with one test. */
final class SolidGroup {
  /** It darkens what is nearer to its centre than so many of its radii. */
  private static final double REACH = 4;

  final Vec3 centre;
  final double radius;

  /** What it is a part of, as in {@link View#entities}. */
  final int entity;

  private final Solid[] solids;

  SolidGroup(int entity, List<Solid> members) {
    this.entity = entity;
    solids = members.toArray(Solid[]::new);
    Vec3 sum = new Vec3(0, 0, 0);
    for (Solid solid : solids) {
      sum = sum.plus(solid.centre);
    }
    centre = sum.times(1.0 / solids.length);
    double reach = 0;
    for (Solid solid : solids) {
      reach = Math.max(reach, solid.centre.minus(centre).length() + solid.radius);
    }
    radius = reach;
  }

  /** How much of the sky the bounding sphere hides from a point with a normal, softly. */
  double occlusion(double px, double py, double pz, double nx, double ny, double nz) {
    double x = centre.x() - px;
    double y = centre.y() - py;
    double z = centre.z() - pz;
    double towards = x * nx + y * ny + z * nz;
    double distance2 = x * x + y * y + z * z;
    double r2 = radius * radius;
    if (towards <= 0 || distance2 <= r2 || distance2 >= REACH * REACH * r2) {
      return 0;
    }
    return towards * r2 / (distance2 * Math.sqrt(distance2));
  }

  /** Records the nearest hit closer than the one in {@code hit}; whether there is one. */
  boolean intersect(Solid.Ray ray, Solid.Hit hit) {
    if (ray.misses(centre, radius, hit.t)) {
      return false;
    }
    double before = hit.t;
    for (Solid solid : solids) {
      if (!ray.misses(solid.centre, solid.radius, hit.t)) {
        solid.solve(ray, hit);
      }
    }
    if (hit.t < before) {
      hit.entity = entity;
      return true;
    }
    return false;
  }
}
