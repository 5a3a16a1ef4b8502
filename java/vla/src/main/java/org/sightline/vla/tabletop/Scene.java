package org.sightline.vla.tabletop;

import io.soabase.recordbuilder.core.RecordBuilder;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.sightline.vla.data.image.RgbImage;

/**
 * The start of an episode and what will happen in it besides the robot's actions. Metres and
 * radians in the robot's frame: x away from its base, y to its left, z up from the table; the
 * camera looks back at the robot, so that y grows to the right of the picture.
 *
 * @param instruction the task in words, e.g. "put carrot on blue plate"
 * @param items things that can be picked up
 * @param receptacles what things can be put on or in
 * @param item index of the one that is to be moved
 * @param receptacle index of where to
 * @param gripper where the gripper starts, open
 * @param look table, light and camera
 * @param overlay disturbs the sight; null: nothing does
 * @param jump moves the item that is to be moved; null: nothing does
 */
@RecordBuilder
public record Scene(
    String instruction,
    List<Item> items,
    List<Receptacle> receptacles,
    int item,
    int receptacle,
    Gripper gripper,
    Look look,
    Overlay overlay,
    Jump jump)
    implements SceneBuilder.With {
  private static final double[] X_RANGE = {0.190, 0.375};
  private static final double[] Y_RANGE = {-0.130, 0.130};
  private static final int RECEPTACLES = 2;
  private static final double RECEPTACLE_RADIUS = 0.064;
  private static final double ITEM_RADIUS = 0.038;
  private static final double CLEARANCE = 0.008;

  /** An object at a place; {@code yaw} turns its long axis from x towards y. */
  public record Item(ObjectKind kind, Palette colour, double x, double y, double yaw) {
    /** Its name in an instruction. */
    public String label() {
      return kind.coloured() ? colour.word() + " " + kind.word() : kind.word();
    }

    /** The same thing elsewhere. */
    public Item at(double newX, double newY, double newYaw) {
      return new Item(kind, colour, newX, newY, newYaw);
    }
  }

  /**
   * A receptacle at a place.
   *
   * @param face picture on a {@link ReceptacleKind#BOARD}; null: none
   */
  public record Receptacle(
      ReceptacleKind kind, Palette colour, double x, double y, double yaw, RgbImage face) {
    public Receptacle(ReceptacleKind kind, Palette colour, double x, double y, double yaw) {
      this(kind, colour, x, y, yaw, null);
    }
  }

  /** A pose of the gripper: where it grasps, and its roll, pitch and yaw. */
  public record Gripper(Vec3 position, double roll, double pitch, double yaw) {
    /** The wrist leans with the arm. */
    public static Gripper at(Vec3 position, double yaw) {
      return new Gripper(
          position,
          TabletopEnvironment.restRoll(position),
          TabletopEnvironment.restPitch(position),
          yaw);
    }
  }

  /** Before the step of this number, from 0, the item is moved to a place. */
  public record Jump(int step, double x, double y) {}

  public Scene {
    items = List.copyOf(items);
    receptacles = List.copyOf(receptacles);
  }

  /**
   * Draws a scene: two or three different objects, two dishes of different kind or colour, none
   * touching. The same seed gives the same scene.
   */
  public static Scene sample(long seed) {
    Random random = new Random(seed);
    List<Palette> colours = new ArrayList<>(List.of(Palette.values()));
    Collections.shuffle(colours, random);
    List<ObjectKind> kinds = new ArrayList<>(List.of(ObjectKind.values()));
    Collections.shuffle(kinds, random);
    int count = 2 + random.nextInt(2);
    List<double[]> places = layout(random, count);
    ReceptacleKind first = pick(random, ReceptacleKind.DISHES);
    List<Receptacle> receptacles = new ArrayList<>();
    for (int i = 0; i < RECEPTACLES; i++) {
      // Half the scenes have two of a kind: then the instruction's colour decides.
      ReceptacleKind kind =
          i == 0 || random.nextBoolean() ? first : pick(random, ReceptacleKind.DISHES);
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
    Gripper gripper = startingGripper(random);
    int item = random.nextInt(count);
    int receptacle = random.nextInt(RECEPTACLES);
    return new Scene(
        instruction(items.get(item), receptacles, receptacle),
        items,
        receptacles,
        item,
        receptacle,
        gripper,
        Look.sample(random),
        null,
        null);
  }

  /** Where the gripper is before an episode: never quite at the same place. */
  public static Gripper startingGripper(Random random) {
    Vec3 position =
        new Vec3(
            0.22 + 0.05 * random.nextDouble(),
            0.08 * (random.nextDouble() - 0.5),
            0.13 + 0.03 * random.nextDouble());
    return Gripper.at(position, 0.4 * (random.nextDouble() - 0.5));
  }

  /** "put carrot on blue plate": the colour where there are several plates. */
  public static String instruction(Item item, List<Receptacle> receptacles, int receptacle) {
    Receptacle to = receptacles.get(receptacle);
    boolean ambiguous = receptacles.stream().filter(r -> r.kind() == to.kind()).count() > 1;
    return "put %s %s %s%s"
        .formatted(
            item.label(),
            to.kind().preposition(),
            ambiguous ? to.colour().word() + " " : "",
            to.kind().word());
  }

  /** Where the item is to go. */
  public Receptacle target() {
    return receptacles.get(receptacle);
  }

  private static <T> T pick(Random random, List<T> values) {
    return values.get(random.nextInt(values.size()));
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
          .allMatch(t -> StrictMath.hypot(t[0] - x, t[1] - y) > t[2] + radius + CLEARANCE)) {
        return new double[] {x, y, radius};
      }
    }
    return null;
  }
}
