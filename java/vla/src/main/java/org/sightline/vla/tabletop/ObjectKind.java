package org.sightline.vla.tabletop;

import java.util.List;

/** Things that can be picked up, all lengths in metres. */
public enum ObjectKind {
  CARROT("carrot", 0.021, 0.042, Math.PI, false),
  EGGPLANT("eggplant", 0.026, 0.052, Math.PI, false),
  CUCUMBER("cucumber", 0.020, 0.040, Math.PI, false),
  BANANA("banana", 0.018, 0.036, Math.PI, false),
  LEMON("lemon", 0.026, 0.052, Math.PI, false),
  TOMATO("tomato", 0.026, 0.058, 0, false),
  CUBE("cube", 0.025, 0.050, Math.PI / 2, true),
  BALL("ball", 0.026, 0.052, 0, true),
  CAN("can", 0.035, 0.048, 0, true);

  private final String word;
  private final double halfHeight;
  private final double width;
  private final double symmetry;
  private final boolean coloured;

  ObjectKind(String word, double halfHeight, double width, double symmetry, boolean coloured) {
    this.word = word;
    this.halfHeight = halfHeight;
    this.width = width;
    this.symmetry = symmetry;
    this.coloured = coloured;
  }

  /** Its name in an instruction. */
  public String word() {
    return word;
  }

  /** Height of its centre above what it lies on. */
  public double halfHeight() {
    return halfHeight;
  }

  /** Its width between the fingers. */
  double width() {
    return width;
  }

  /** The yaw in radians after which it looks the same; 0 if it is round. */
  double symmetry() {
    return symmetry;
  }

  /** Whether it comes in several colours, so that instructions name one. */
  public boolean coloured() {
    return coloured;
  }

  /** The yaw of smallest size at which it looks as at the given one. */
  double canonicalYaw(double yaw) {
    return symmetry == 0 ? 0 : yaw - symmetry * Math.rint(yaw / symmetry);
  }

  /** Its solids; {@code pose} has its origin in the object's centre and its u axis along it. */
  List<Solid> solids(Frame pose, Palette colour) {
    Material paint = Material.of(colour.rgb(), 0.35);
    Material leaf = Material.of(0x4f8f3a, 0.1);
    return switch (this) {
      case CARROT ->
          List.of(
              new CappedCone(
                  Material.of(0xf07f1f, 0.25),
                  pose.at(-0.055, 0, -0.011),
                  pose.at(0.035, 0, 0),
                  0.008,
                  0.021),
              new Ellipsoid(
                  Material.of(0xf07f1f, 0.25), pose.moved(0.035, 0, 0), 0.012, 0.021, 0.021),
              new CappedCone(leaf, pose.at(0.04, 0, 0), pose.at(0.066, 0.01, 0.008), 0.004, 0.006),
              new CappedCone(
                  leaf, pose.at(0.04, 0, 0), pose.at(0.068, -0.008, 0.012), 0.004, 0.006));
      case EGGPLANT ->
          List.of(
              new Ellipsoid(Material.of(0x4b2a63, 0.8), pose, 0.0528, 0.0264, 0.0264),
              new Ellipsoid(
                  Material.of(0x4b2a63, 0.8),
                  pose.moved(-0.0192, 0, 0.0012),
                  0.036,
                  0.0282,
                  0.0264),
              new CappedCone(
                  leaf, pose.at(0.0432, 0, 0.0012), pose.at(0.0672, 0, 0.0096), 0.0144, 0.0048));
      case CUCUMBER ->
          List.of(
              new CappedCone(
                  Material.of(0x3c7a35, 0.4),
                  pose.at(-0.04, 0, 0),
                  pose.at(0.04, 0, 0),
                  0.020,
                  0.020),
              new Ellipsoid(
                  Material.of(0x3c7a35, 0.4), pose.moved(-0.04, 0, 0), 0.016, 0.020, 0.020),
              new Ellipsoid(
                  Material.of(0x6f9f4a, 0.4), pose.moved(0.04, 0, 0), 0.016, 0.020, 0.020));
      case BANANA -> {
        Material skin = Material.of(0xf0cb34, 0.2);
        Material tip = Material.of(0x6b5326, 0.1);
        yield List.of(
            new CappedCone(
                skin, pose.at(-0.0562, 0.015, 0), pose.at(-0.0225, 0, 0), 0.0112, 0.0175),
            new CappedCone(skin, pose.at(-0.0225, 0, 0), pose.at(0.0225, 0, 0), 0.0175, 0.0175),
            new CappedCone(skin, pose.at(0.0225, 0, 0), pose.at(0.0562, 0.015, 0), 0.0175, 0.0112),
            new CappedCone(
                tip, pose.at(-0.0562, 0.015, 0), pose.at(-0.0688, 0.0238, 0.0025), 0.0075, 0.005),
            new CappedCone(
                tip, pose.at(0.0562, 0.015, 0), pose.at(0.065, 0.0213, 0), 0.0088, 0.005));
      }
      case LEMON ->
          List.of(
              new Ellipsoid(Material.of(0xf4d72e, 0.4), pose, 0.035, 0.0263, 0.0263),
              new Ellipsoid(
                  Material.of(0xe4c32a, 0.3), pose.moved(0.0338, 0, 0), 0.0088, 0.0075, 0.0075));
      case TOMATO ->
          List.of(
              new Ellipsoid(Material.of(0xcf2f20, 0.8), pose, 0.03, 0.03, 0.0263),
              new CappedCone(leaf, pose.at(0, 0, 0.0213), pose.at(0, 0, 0.0275), 0.015, 0.0075),
              new CappedCone(
                  leaf, pose.at(0, 0, 0.025), pose.at(0.0037, 0, 0.0387), 0.0037, 0.0025));
      case CUBE -> List.of(new OrientedBox(paint, pose, 0.025, 0.025, 0.025));
      case BALL ->
          List.of(new Ellipsoid(Material.of(colour.rgb(), 0.9), pose, 0.0263, 0.0263, 0.0263));
      case CAN ->
          List.of(
              new CappedCone(paint, pose.at(0, 0, -0.0348), pose.at(0, 0, 0.0312), 0.024, 0.024),
              new CappedCone(
                  Material.of(0xc8ccd0, 0.8),
                  pose.at(0, 0, 0.0312),
                  pose.at(0, 0, 0.0348),
                  0.0228,
                  0.0204));
    };
  }
}
