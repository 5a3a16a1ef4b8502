package org.sightline.vla.tabletop;

import java.util.List;

/** Solids that lie together, in one bounding sphere: most rays miss all of them with one test. */
final class SolidGroup {
  final Vec3 centre;
  final double radius;
  private final Solid[] solids;

  SolidGroup(List<Solid> members) {
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

  /** Records the nearest hit closer than the one in {@code hit}, if there is one. */
  void intersect(Solid.Ray ray, Solid.Hit hit) {
    if (ray.misses(centre, radius, hit.t)) {
      return;
    }
    for (Solid solid : solids) {
      if (!ray.misses(solid.centre, solid.radius, hit.t)) {
        solid.solve(ray, hit);
      }
    }
  }
}
