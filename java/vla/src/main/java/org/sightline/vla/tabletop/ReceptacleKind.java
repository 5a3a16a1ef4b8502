package org.sightline.vla.tabletop;

import java.util.List;
import org.sightline.vla.data.image.RgbImage;

/** Things to put objects on or in, all lengths in metres. */
public enum ReceptacleKind {
  PLATE("plate", "on", 0.060, 0.006),
  BOWL("bowl", "in", 0.058, 0.006),
  TRAY("tray", "on", 0.056, 0.006),
  CLOTH("cloth", "on", 0.060, 0.003),
  BOARD("board", "on", 0.050, 0.006);

  /** What scenes may draw that show no pictures. */
  public static final List<ReceptacleKind> DISHES = List.of(PLATE, BOWL, TRAY, CLOTH);

  /** Half the side of a board. */
  public static final double BOARD_HALF = 0.042;

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
  public String word() {
    return word;
  }

  /** "on" or "in". */
  public String preposition() {
    return preposition;
  }

  /** An object whose centre is nearer than this to the receptacle's rests on it. */
  public double radius() {
    return radius;
  }

  /** Height of the surface that objects rest on. */
  double surface() {
    return surface;
  }

  /**
   * Its solids.
   *
   * @param pose has its origin on the table below the centre
   * @param face picture on a board; null: none
   */
  List<Solid> solids(Frame pose, Palette colour, RgbImage face) {
    Material paint = Material.of(colour.rgb(), 0.4);
    return switch (this) {
      case PLATE ->
          List.of(
              new CappedCone(paint, pose.at(0, 0, 0.001), pose.at(0, 0, 0.006), 0.036, 0.042),
              new CappedCone(
                  paint, pose.at(0, 0, 0.005), pose.at(0, 0, 0.013), 0.042, 0.065, true));
      case BOWL ->
          List.of(
              new CappedCone(paint, pose.at(0, 0, 0.001), pose.at(0, 0, 0.006), 0.030, 0.032),
              new CappedCone(paint, pose.at(0, 0, 0.006), pose.at(0, 0, 0.020), 0.032, 0.050, true),
              new CappedCone(
                  paint, pose.at(0, 0, 0.020), pose.at(0, 0, 0.037), 0.050, 0.058, true));
      case TRAY -> {
        Material rim = Material.of(colour.rgb(), 0.2);
        yield List.of(
            new OrientedBox(paint, pose.moved(0, 0, 0.003), 0.053, 0.053, 0.003),
            new OrientedBox(rim, pose.moved(0.055, 0, 0.008), 0.003, 0.058, 0.008),
            new OrientedBox(rim, pose.moved(-0.055, 0, 0.008), 0.003, 0.058, 0.008),
            new OrientedBox(rim, pose.moved(0, 0.055, 0.008), 0.058, 0.003, 0.008),
            new OrientedBox(rim, pose.moved(0, -0.055, 0.008), 0.058, 0.003, 0.008));
      }
      case CLOTH ->
          List.of(
              new OrientedBox(
                  Material.striped(colour.rgb(), 0.022),
                  pose.moved(0, 0, 0.0015),
                  0.060,
                  0.060,
                  0.0015));
      case BOARD -> {
        Frame centre = pose.moved(0, 0, 0.003);
        yield List.of(
            new OrientedBox(
                face == null
                    ? paint
                    : new Material(paint.colour(), 0, new Decal(face, centre, BOARD_HALF)),
                centre,
                BOARD_HALF,
                BOARD_HALF,
                0.003));
      }
    };
  }
}
