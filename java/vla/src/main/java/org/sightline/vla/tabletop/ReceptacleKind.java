package org.sightline.vla.tabletop;

import java.util.List;

/** Things to put objects on or in, all lengths in metres. */
enum ReceptacleKind {
  PLATE("plate", "on", 0.070, 0.006),
  BOWL("bowl", "in", 0.068, 0.006),
  TRAY("tray", "on", 0.065, 0.006),
  CLOTH("cloth", "on", 0.070, 0.003);

  private final String word;
  private final String preposition;
  private final double radius;
  private final double surface;

  ReceptacleKind(String word, String preposition, double radius, double surface) {
    this.word = word;
    this.preposition = preposition;
    this.radius = radius;
    this.surface = surface;
  }

  /** Its name in an instruction. */
  String word() {
    return word;
  }

  /** "on" or "in". */
  String preposition() {
    return preposition;
  }

  /** An object whose centre is nearer than this to the receptacle's rests on it. */
  double radius() {
    return radius;
  }

  /** Height of the surface that objects rest on. */
  double surface() {
    return surface;
  }

  /** Its solids; {@code pose} has its origin on the table below the centre. */
  List<Solid> solids(Frame pose, Palette colour) {
    Material paint = Material.of(colour.rgb(), 0.4);
    return switch (this) {
      case PLATE ->
          List.of(
              new CappedCone(paint, pose.at(0, 0, 0.001), pose.at(0, 0, 0.006), 0.040, 0.048),
              new CappedCone(
                  paint, pose.at(0, 0, 0.005), pose.at(0, 0, 0.014), 0.048, 0.076, true));
      case BOWL ->
          List.of(
              new CappedCone(paint, pose.at(0, 0, 0.001), pose.at(0, 0, 0.006), 0.034, 0.036),
              new CappedCone(paint, pose.at(0, 0, 0.006), pose.at(0, 0, 0.022), 0.036, 0.058, true),
              new CappedCone(
                  paint, pose.at(0, 0, 0.022), pose.at(0, 0, 0.042), 0.058, 0.068, true));
      case TRAY -> {
        Material rim = Material.of(colour.rgb(), 0.2);
        yield List.of(
            new OrientedBox(paint, pose.moved(0, 0, 0.003), 0.062, 0.062, 0.003),
            new OrientedBox(rim, pose.moved(0.064, 0, 0.008), 0.003, 0.067, 0.008),
            new OrientedBox(rim, pose.moved(-0.064, 0, 0.008), 0.003, 0.067, 0.008),
            new OrientedBox(rim, pose.moved(0, 0.064, 0.008), 0.067, 0.003, 0.008),
            new OrientedBox(rim, pose.moved(0, -0.064, 0.008), 0.067, 0.003, 0.008));
      }
      case CLOTH ->
          List.of(
              new OrientedBox(
                  new Material(Material.linear(colour.rgb()), 0, 0.022),
                  pose.moved(0, 0, 0.0015),
                  0.070,
                  0.070,
                  0.0015));
    };
  }
}
