package org.sightline.study.task;

import static org.sightline.study.task.NarrowScenes.pick;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.sightline.study.task.NarrowScenes.Place;
import org.sightline.vla.tabletop.Look;
import org.sightline.vla.tabletop.ObjectKind;
import org.sightline.vla.tabletop.Overlay;
import org.sightline.vla.tabletop.Palette;
import org.sightline.vla.tabletop.ReceptacleKind;
import org.sightline.vla.tabletop.Scene;
import org.sightline.vla.tabletop.TableTexture;
import org.sightline.vla.tabletop.Vec3;

/** The thirteen changes to a training scene, each of what it names and of nothing else. */
final class SceneModifiers {
  /** Places around the training grid, 28 on a square of 21 cm. */
  private static final List<Place> RING = NarrowScenes.square(8, true);

  private static final List<Place> ANYWHERE = NarrowScenes.square(8, false);

  private static final List<ObjectKind> UNSEEN_OBJECTS =
      Arrays.stream(ObjectKind.values()).filter(kind -> kind != ObjectKind.CARROT).toList();

  private static final List<Integer> ALL_TABLES =
      IntStream.range(0, Look.tables()).boxed().toList();

  private static final List<Integer> UNSEEN_TABLES =
      ALL_TABLES.stream().filter(table -> !NarrowScenes.TABLES.contains(table)).toList();

  /** Sixteen other ways to say "put the carrot on the plate", as many as the paper's. */
  static final List<String> PARAPHRASES =
      List.of(
          "place %s on %s",
          "move %s to %s",
          "set %s down on %s",
          "lay %s on %s",
          "bring %s to %s",
          "put the %s onto the %s",
          "take the %s and put it on the %s",
          "pick up the %s and place it on the %s",
          "grasp the %s and move it to the %s",
          "the %s should be on the %s",
          "could you put the %s on the %s",
          "please place the %s on the %s",
          "transfer the %s to the %s",
          "drop the %s on the %s",
          "I want the %s on the %s",
          "make the %s rest on the %s");

  /** When the carrot jumps: before it can be held. */
  private static final int JUMP_STEP = 2;

  private static final double JUMP_AT_LEAST = 0.12;

  private SceneModifiers() {}

  static Scene apply(Task task, Scene base, long seed) {
    Random random = NarrowScenes.random(seed, task.name());
    return switch (task) {
      case VISION_IMAGE -> onTable(base, random, UNSEEN_TABLES);
      case VISION_TEXTURE_03 -> base.withOverlay(overlay(random, 0.3, false));
      case VISION_TEXTURE_05 -> base.withOverlay(overlay(random, 0.5, false));
      case VISION_WHOLE_03 -> base.withOverlay(overlay(random, 0.3, true));
      case VISION_WHOLE_05 -> base.withOverlay(overlay(random, 0.5, true));
      case CARROT -> told(base.withItems(List.of(unseen(base, random, List.of()))));
      case INSTRUCT ->
          base.withInstruction(
              pick(random, PARAPHRASES)
                  .formatted(base.items().get(0).label(), base.target().kind().word()));
      case MULTI_CARROT -> distracted(base, random);
      case PLATE -> told(base.withReceptacles(List.of(dish(base, random, null))));
      case MULTI_PLATE -> onTable(twoDishes(base, random), random, ALL_TABLES);
      case POSITION -> onTheRing(base, random);
      case EE_POSE -> base.withGripper(displaced(base.gripper(), random));
      case POSITION_CHANGE_TO -> base.withJump(jump(base, random));
      default -> base;
    };
  }

  private static Scene told(Scene scene) {
    return scene.withInstruction(
        Scene.instruction(
            scene.items().get(scene.item()), scene.receptacles(), scene.receptacle()));
  }

  private static Scene onTable(Scene scene, Random random, List<Integer> choice) {
    return scene.withLook(scene.look().withTable(NarrowScenes.table(random, choice)));
  }

  /** One of sixteen textures. */
  private static Overlay overlay(Random random, double strength, boolean whole) {
    int choice = random.nextInt(16);
    Palette[] colours = Palette.values();
    TableTexture.Pattern[] patterns = TableTexture.Pattern.values();
    TableTexture texture =
        TableTexture.of(
            patterns[choice % patterns.length],
            colours[choice % colours.length],
            colours[(3 * choice + 5) % colours.length],
            choice);
    return new Overlay(texture, strength, whole);
  }

  /** An object that training did not show, where the carrot was. */
  private static Scene.Item unseen(Scene base, Random random, List<ObjectKind> but) {
    Scene.Item carrot = base.items().get(0);
    ObjectKind kind =
        pick(random, UNSEEN_OBJECTS.stream().filter(other -> !but.contains(other)).toList());
    Palette colour = pick(random, List.of(Palette.values()));
    return new Scene.Item(kind, colour, carrot.x(), carrot.y(), carrot.yaw());
  }

  /** The distractor is never what is asked for. */
  private static Scene distracted(Scene base, Random random) {
    Scene.Item target = unseen(base, random, List.of());
    Scene.Item other = unseen(base, random, List.of(target.kind()));
    Scene.Receptacle plate = base.target();
    List<Place> free =
        ANYWHERE.stream()
            .filter(p -> p.distance(target.x(), target.y()) >= NarrowScenes.ITEMS_APART)
            .filter(p -> p.distance(plate.x(), plate.y()) >= NarrowScenes.ITEM_FROM_DISH)
            .toList();
    Place place = pick(random, free);
    double yaw = (random.nextInt(4) - 1.5) * Math.PI / 4;
    return told(base.withItems(List.of(target, other.at(place.x(), place.y(), yaw))));
  }

  /** A dish that training did not show, and unlike another. */
  private static Scene.Receptacle dish(Scene base, Random random, Scene.Receptacle but) {
    Scene.Receptacle plate = base.target();
    while (true) {
      ReceptacleKind kind = pick(random, ReceptacleKind.DISHES);
      Palette colour = pick(random, List.of(Palette.values()));
      boolean seen = kind == plate.kind() && colour == plate.colour();
      if (!seen && (but == null || kind != but.kind() && colour != but.colour())) {
        return new Scene.Receptacle(kind, colour, plate.x(), plate.y(), plate.yaw());
      }
    }
  }

  private static Scene twoDishes(Scene base, Random random) {
    Scene.Receptacle target = dish(base, random, null);
    Scene.Receptacle other = dish(base, random, target);
    Scene.Item item = base.items().get(0);
    List<Place> free =
        ANYWHERE.stream()
            .filter(p -> p.distance(item.x(), item.y()) >= NarrowScenes.ITEM_FROM_DISH)
            .filter(p -> p.distance(target.x(), target.y()) >= NarrowScenes.DISHES_APART)
            .toList();
    Place place = pick(random, free);
    return told(
        base.withReceptacles(
            List.of(
                target,
                new Scene.Receptacle(
                    other.kind(), other.colour(), place.x(), place.y(), other.yaw()))));
  }

  private static Scene onTheRing(Scene base, Random random) {
    Place item = pick(random, RING);
    Place dish = pick(random, NarrowScenes.apart(RING, item, NarrowScenes.ITEM_FROM_DISH));
    Scene.Item carrot = base.items().get(0);
    Scene.Receptacle plate = base.target();
    double yaw = (random.nextInt(4) - 1) * Math.PI / 4; // Between those of training.
    return base.withItems(List.of(carrot.at(item.x(), item.y(), yaw)))
        .withReceptacles(
            List.of(new Scene.Receptacle(plate.kind(), plate.colour(), dish.x(), dish.y(), 0)));
  }

  /** Farther from the usual pose than training ever was. */
  private static Scene.Gripper displaced(Scene.Gripper start, Random random) {
    Vec3 at = start.position();
    return new Scene.Gripper(
        new Vec3(
            at.x() + either(random, 0.04, 0.07),
            at.y() + either(random, 0.05, 0.08),
            at.z() - 0.03 * random.nextDouble()),
        start.roll() + either(random, 0.08, 0.15),
        start.pitch() + either(random, 0.08, 0.15),
        start.yaw() + either(random, 0.3, 0.6));
  }

  private static double either(Random random, double least, double most) {
    double size = least + random.nextDouble() * (most - least);
    return random.nextBoolean() ? size : -size;
  }

  private static Scene.Jump jump(Scene base, Random random) {
    Scene.Item carrot = base.items().get(0);
    Scene.Receptacle plate = base.target();
    List<Place> far = new ArrayList<>();
    for (Place place : ANYWHERE) {
      if (place.distance(carrot.x(), carrot.y()) >= JUMP_AT_LEAST
          && place.distance(plate.x(), plate.y()) >= NarrowScenes.ITEM_FROM_DISH) {
        far.add(place);
      }
    }
    Place place = pick(random, far);
    return new Scene.Jump(JUMP_STEP, place.x(), place.y());
  }
}
