package org.sightline.vla.tabletop;

import java.util.ArrayList;
import java.util.List;

/** The solids of a moment: receptacles, objects, and a small black arm that ends in two fingers. */
final class SceneModel {
  private static final Material ARM = Material.of(0x2a2d33, 0.5);
  private static final Material JOINT = Material.of(0x4a515b, 0.6);
  private static final Material FINGER = Material.of(0x5d646e, 0.5);
  private static final Vec3 SHOULDER = new Vec3(0, 0, 0.14);
  private static final double UPPER_ARM = 0.29;
  private static final double FOREARM = 0.31;

  private SceneModel() {}

  static List<SolidGroup> groups(TabletopEnvironment state) {
    List<SolidGroup> groups = new ArrayList<>();
    Scene scene = state.scene();
    for (int i = 0; i < scene.receptacles().size(); i++) {
      Scene.Receptacle r = scene.receptacles().get(i);
      Frame frame = Frame.yaw(new Vec3(r.x(), r.y(), 0), r.yaw());
      int entity = View.receptacle(scene, i);
      groups.add(new SolidGroup(entity, r.kind().solids(frame, r.colour(), r.face())));
    }
    for (int i = 0; i < scene.items().size(); i++) {
      TabletopEnvironment.Pose pose = state.item(i);
      Frame frame = Frame.yaw(new Vec3(pose.x(), pose.y(), pose.z()), pose.yaw());
      Scene.Item item = scene.items().get(i);
      groups.add(new SolidGroup(View.item(i), item.kind().solids(frame, item.colour())));
    }
    addArm(state, groups);
    return groups;
  }

  private static void addArm(TabletopEnvironment state, List<SolidGroup> groups) {
    Frame tip = Frame.euler(state.position(), state.roll(), state.pitch(), state.yaw());
    List<Solid> hand = new ArrayList<>();
    double spread = state.opening() * TabletopEnvironment.MAX_OPENING / 2 + 0.005;
    for (int side = -1; side <= 1; side += 2) {
      hand.add(new OrientedBox(FINGER, tip.moved(0, side * spread, 0.022), 0.008, 0.005, 0.029));
    }
    hand.add(new OrientedBox(ARM, tip.moved(0, 0, 0.060), 0.015, 0.052, 0.011));
    Vec3 wrist = tip.at(0, 0, 0.125);
    hand.add(new CappedCone(ARM, tip.at(0, 0, 0.068), wrist, 0.021, 0.018));
    hand.add(sphere(JOINT, wrist, 0.024));
    groups.add(part(hand.toArray(Solid[]::new)));

    Vec3 reach = wrist.minus(SHOULDER);
    double distance = Math.min(reach.length(), UPPER_ARM + FOREARM - 1e-6);
    // Law of cosines; the elbow lies above the line from shoulder to wrist.
    double along =
        (distance * distance + UPPER_ARM * UPPER_ARM - FOREARM * FOREARM) / (2 * distance);
    double above = Math.sqrt(Math.max(0, UPPER_ARM * UPPER_ARM - along * along));
    Vec3 direction = reach.normalized();
    Vec3 upward = Vec3.UP.minus(direction.times(direction.z())).normalized();
    Vec3 elbow = SHOULDER.plus(direction.times(along)).plus(upward.times(above));
    groups.add(part(new CappedCone(ARM, wrist, elbow, 0.017, 0.022)));
    groups.add(part(sphere(JOINT, elbow, 0.030)));
    groups.add(part(new CappedCone(ARM, elbow, SHOULDER, 0.024, 0.030)));
    groups.add(part(sphere(JOINT, SHOULDER, 0.042)));
    groups.add(part(new CappedCone(ARM, new Vec3(0, 0, 0), SHOULDER, 0.060, 0.042)));
  }

  private static SolidGroup part(Solid... solids) {
    return new SolidGroup(View.ROBOT, List.of(solids));
  }

  private static Solid sphere(Material material, Vec3 centre, double radius) {
    return new Ellipsoid(material, Frame.yaw(centre, 0), radius, radius, radius);
  }
}
