package org.sightline.vla.tabletop;

import java.util.List;

/** Things that can be picked up, all lengths in metres. */
enum ObjectKind {
  CARROT("carrot", 0.017, 0.034, Math.PI, false),
  EGGPLANT("eggplant", 0.022, 0.044, Math.PI, false),
  CUCUMBER("cucumber", 0.016, 0.032, Math.PI, false),
  BANANA("banana", 0.014, 0.028, Math.PI, false),
  LEMON("lemon", 0.021, 0.042, Math.PI, false),
  TOMATO("tomato", 0.021, 0.046, 0, false),
  CUBE("cube", 0.020, 0.040, Math.PI / 2, true),
  BALL("ball", 0.021, 0.042, 0, true),
  CAN("can", 0.029, 0.040, 0, true);

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
  String word() {
    return word;
  }

  /** Height of its centre above what it lies on. */
  double halfHeight() {
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
  boolean coloured() {
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
                  pose.at(-0.055, 0, -0.009),
                  pose.at(0.035, 0, 0),
                  0.006,
                  0.017),
              new Ellipsoid(
                  Material.of(0xf07f1f, 0.25), pose.moved(0.035, 0, 0), 0.010, 0.017, 0.017),
              new CappedCone(
                  leaf, pose.at(0.040, 0, 0), pose.at(0.066, 0.010, 0.008), 0.004, 0.006),
              new CappedCone(
                  leaf, pose.at(0.040, 0, 0), pose.at(0.068, -0.008, 0.012), 0.004, 0.006));
      case EGGPLANT ->
          List.of(
              new Ellipsoid(Material.of(0x4b2a63, 0.8), pose, 0.044, 0.022, 0.022),
              new Ellipsoid(
                  Material.of(0x4b2a63, 0.8), pose.moved(-0.016, 0, 0.001), 0.030, 0.0235, 0.022),
              new CappedCone(
                  leaf, pose.at(0.036, 0, 0.001), pose.at(0.056, 0, 0.008), 0.012, 0.004));
      case CUCUMBER ->
          List.of(
              new CappedCone(
                  Material.of(0x3c7a35, 0.4),
                  pose.at(-0.040, 0, 0),
                  pose.at(0.040, 0, 0),
                  0.016,
                  0.016),
              new Ellipsoid(
                  Material.of(0x3c7a35, 0.4), pose.moved(-0.040, 0, 0), 0.014, 0.016, 0.016),
              new Ellipsoid(
                  Material.of(0x6f9f4a, 0.4), pose.moved(0.040, 0, 0), 0.014, 0.016, 0.016));
      case BANANA -> {
        Material skin = Material.of(0xf0cb34, 0.2);
        Material tip = Material.of(0x6b5326, 0.1);
        yield List.of(
            new CappedCone(skin, pose.at(-0.045, 0.012, 0), pose.at(-0.018, 0, 0), 0.009, 0.014),
            new CappedCone(skin, pose.at(-0.018, 0, 0), pose.at(0.018, 0, 0), 0.014, 0.014),
            new CappedCone(skin, pose.at(0.018, 0, 0), pose.at(0.045, 0.012, 0), 0.014, 0.009),
            new CappedCone(
                tip, pose.at(-0.045, 0.012, 0), pose.at(-0.055, 0.019, 0.002), 0.006, 0.004),
            new CappedCone(tip, pose.at(0.045, 0.012, 0), pose.at(0.052, 0.017, 0), 0.007, 0.004));
      }
      case LEMON ->
          List.of(
              new Ellipsoid(Material.of(0xf4d72e, 0.4), pose, 0.028, 0.021, 0.021),
              new Ellipsoid(
                  Material.of(0xe4c32a, 0.3), pose.moved(0.027, 0, 0), 0.007, 0.006, 0.006));
      case TOMATO ->
          List.of(
              new Ellipsoid(Material.of(0xcf2f20, 0.8), pose, 0.024, 0.024, 0.021),
              new CappedCone(leaf, pose.at(0, 0, 0.017), pose.at(0, 0, 0.022), 0.012, 0.006),
              new CappedCone(leaf, pose.at(0, 0, 0.020), pose.at(0.003, 0, 0.031), 0.003, 0.002));
      case CUBE -> List.of(new OrientedBox(paint, pose, 0.020, 0.020, 0.020));
      case BALL ->
          List.of(new Ellipsoid(Material.of(colour.rgb(), 0.9), pose, 0.021, 0.021, 0.021));
      case CAN ->
          List.of(
              new CappedCone(paint, pose.at(0, 0, -0.029), pose.at(0, 0, 0.026), 0.020, 0.020),
              new CappedCone(
                  Material.of(0xc8ccd0, 0.8),
                  pose.at(0, 0, 0.026),
                  pose.at(0, 0, 0.029),
                  0.019,
                  0.017));
    };
  }
}
