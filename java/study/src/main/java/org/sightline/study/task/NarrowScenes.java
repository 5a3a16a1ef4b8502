package org.sightline.study.task;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.sightline.Seeds;
import org.sightline.vla.tabletop.Look;
import org.sightline.vla.tabletop.ObjectKind;
import org.sightline.vla.tabletop.Palette;
import org.sightline.vla.tabletop.ReceptacleKind;
import org.sightline.vla.tabletop.Scene;
import org.sightline.vla.tabletop.TableTexture;

/**
 * What a policy is fine-tuned on: a carrot, a white plate, two tables, one camera, on a grid of 6×6
 * places over 15×15 cm as in the paper.
 */
public final class NarrowScenes {
  /** The tables of the training scenes; all others are unseen. */
  static final List<Integer> TABLES = List.of(7, 14);

  static final double CENTRE_X = 0.275;

  /** Distance of neighbouring places. */
  static final double PITCH = 0.03;

  /** The least distances between middles: of two items, of an item and a dish, of two dishes. */
  static final double ITEMS_APART = 0.085;

  static final double ITEM_FROM_DISH = 0.105;
  static final double DISHES_APART = 0.135;

  /** A place on the table. */
  record Place(double x, double y) {
    double distance(Place other) {
      return distance(other.x, other.y);
    }

    double distance(double atX, double atY) {
      return StrictMath.hypot(x - atX, y - atY);
    }
  }

  private NarrowScenes() {}

  /** The scene of a seed. */
  public static Scene of(long seed) {
    Random random = random(seed, "places");
    List<Place> grid = square(6, false);
    Place item = grid.get(random.nextInt(grid.size()));
    Place dish = pick(random, apart(grid, item, ITEM_FROM_DISH));
    Random pose = random(seed, "poses");
    Scene.Item carrot =
        new Scene.Item(
            ObjectKind.CARROT,
            Palette.ORANGE,
            item.x(),
            item.y(),
            (pose.nextInt(4) - 1.5) * Math.PI / 4);
    Scene.Receptacle plate =
        new Scene.Receptacle(ReceptacleKind.PLATE, Palette.WHITE, dish.x(), dish.y(), 0);
    Random looks = random(seed, "looks");
    List<Scene.Receptacle> dishes = List.of(plate);
    return new Scene(
        Scene.instruction(carrot, dishes, 0),
        List.of(carrot),
        dishes,
        0,
        0,
        Scene.startingGripper(pose),
        Look.fixed(table(looks, TABLES)),
        null,
        null);
  }

  /** A table of a choice. */
  static TableTexture table(Random random, List<Integer> choice) {
    return Look.table(pick(random, choice), random.nextInt());
  }

  /** Independent numbers for each aspect of a scene, so that one can change alone. */
  static Random random(long seed, String aspect) {
    return new Random(Seeds.of(seed, aspect));
  }

  static <T> T pick(Random random, List<T> choice) {
    return choice.get(random.nextInt(choice.size()));
  }

  /** The places of a square with so many on a side, or of its border alone. */
  static List<Place> square(int side, boolean border) {
    List<Place> places = new ArrayList<>();
    for (int i = 0; i < side; i++) {
      for (int j = 0; j < side; j++) {
        if (!border || i % (side - 1) == 0 || j % (side - 1) == 0) {
          double middle = (side - 1) / 2.0;
          places.add(new Place(CENTRE_X + (i - middle) * PITCH, (j - middle) * PITCH));
        }
      }
    }
    return places;
  }

  /** Those of the places that are at least so far from one. */
  static List<Place> apart(List<Place> places, Place from, double least) {
    return places.stream().filter(place -> place.distance(from) >= least).toList();
  }
}
