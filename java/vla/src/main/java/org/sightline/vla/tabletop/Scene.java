package org.sightline.vla.tabletop;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/**
 * The start of an episode: objects and receptacles on the table, which object is to go where, where
 * the gripper is, and how it all looks. Metres and radians in the robot's frame: x away from its
 * base, y to its left, z up from the table.
 */
public final class Scene {
  private static final double[] X_RANGE = {0.185, 0.395};
  private static final double[] Y_RANGE = {-0.155, 0.155};
  private static final int RECEPTACLES = 2;
  private static final double RECEPTACLE_RADIUS = 0.078;
  private static final double ITEM_RADIUS = 0.036;
  private static final double CLEARANCE = 0.010;

  /** An object at a place; {@code yaw} turns its long axis from x towards y. */
  record Item(ObjectKind kind, Palette colour, double x, double y, double yaw) {
    String label() {
      return kind.coloured() ? colour.word() + " " + kind.word() : kind.word();
    }
  }

  /** A receptacle at a place. */
  record Receptacle(ReceptacleKind kind, Palette colour, double x, double y, double yaw) {}

  private final List<Item> items;
  private final List<Receptacle> receptacles;
  private final int item;
  private final int receptacle;
  private final Vec3 gripper;
  private final Look look;

  private Scene(
      List<Item> items,
      List<Receptacle> receptacles,
      int item,
      int receptacle,
      Vec3 gripper,
      Look look) {
    this.items = List.copyOf(items);
    this.receptacles = List.copyOf(receptacles);
    this.item = item;
    this.receptacle = receptacle;
    this.gripper = gripper;
    this.look = look;
  }

  /**
   * Draws a scene: two or three different objects, two receptacles of different kind or colour,
   * none touching. The same seed gives the same scene.
   */
  public static Scene sample(long seed) {
    Random random = new Random(seed);
    List<Palette> colours = new ArrayList<>(List.of(Palette.values()));
    Collections.shuffle(colours, random);
    List<ObjectKind> kinds = new ArrayList<>(List.of(ObjectKind.values()));
    Collections.shuffle(kinds, random);
    int count = 2 + random.nextInt(2);
    List<double[]> places = layout(random, count);
    ReceptacleKind first = pick(random, ReceptacleKind.values());
    List<Receptacle> receptacles = new ArrayList<>();
    for (int i = 0; i < RECEPTACLES; i++) {
      // Half the scenes have two of a kind: then the instruction's colour decides.
      ReceptacleKind kind =
          i == 0 || random.nextBoolean() ? first : pick(random, ReceptacleKind.values());
      double yaw = (random.nextDouble() - 0.5) * 0.7;
      double[] place = places.get(i);
      receptacles.add(new Receptacle(kind, colours.get(i), place[0], place[1], yaw));
    }
    List<Item> items = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      double yaw = (random.nextDouble() - 0.5) * Math.PI;
      double[] place = places.get(RECEPTACLES + i);
      items.add(new Item(kinds.get(i), colours.get(RECEPTACLES + i), place[0], place[1], yaw));
    }
    Vec3 gripper =
        new Vec3(
            0.22 + 0.05 * random.nextDouble(),
            0.08 * (random.nextDouble() - 0.5),
            0.17 + 0.03 * random.nextDouble());
    int item = random.nextInt(count);
    int receptacle = random.nextInt(RECEPTACLES);
    return new Scene(items, receptacles, item, receptacle, gripper, Look.sample(random));
  }

  /** The task in words, e.g. "put carrot on blue plate". */
  public String instruction() {
    Receptacle to = target();
    boolean ambiguous = receptacles.get(0).kind() == receptacles.get(1).kind();
    return "put "
        + items.get(item).label()
        + " "
        + to.kind().preposition()
        + " "
        + (ambiguous ? to.colour().word() + " " : "")
        + to.kind().word();
  }

  List<Item> items() {
    return items;
  }

  List<Receptacle> receptacles() {
    return receptacles;
  }

  int item() {
    return item;
  }

  Receptacle target() {
    return receptacles.get(receptacle);
  }

  Vec3 gripper() {
    return gripper;
  }

  Look look() {
    return look;
  }

  private static <T> T pick(Random random, T[] values) {
    return values[random.nextInt(values.length)];
  }

  /** Centres of discs that keep clear of each other: the receptacles first, then the items. */
  private static List<double[]> layout(Random random, int items) {
    while (true) {
      List<double[]> places = new ArrayList<>();
      for (int i = 0; i < RECEPTACLES + items; i++) {
        double radius = i < RECEPTACLES ? RECEPTACLE_RADIUS : ITEM_RADIUS;
        double[] place = place(random, places, radius);
        if (place == null) {
          break; // The discs so far leave no room: deal anew.
        }
        places.add(place);
      }
      if (places.size() == RECEPTACLES + items) {
        return places;
      }
    }
  }

  /** A free place (x, y, radius), or null if none is found. */
  private static double[] place(Random random, List<double[]> taken, double radius) {
    for (int attempt = 0; attempt < 50; attempt++) {
      double x = X_RANGE[0] + random.nextDouble() * (X_RANGE[1] - X_RANGE[0]);
      double y = Y_RANGE[0] + random.nextDouble() * (Y_RANGE[1] - Y_RANGE[0]);
      if (taken.stream()
          .allMatch(t -> Math.hypot(t[0] - x, t[1] - y) > t[2] + radius + CLEARANCE)) {
        return new double[] {x, y, radius};
      }
    }
    return null;
  }
}
