package org.sightline.study.task;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.IntPredicate;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.sightline.vla.tabletop.Demonstration;
import org.sightline.vla.tabletop.ObjectKind;
import org.sightline.vla.tabletop.Scene;
import org.sightline.vla.tabletop.TabletopEnvironment;
import org.sightline.vla.tabletop.View;

class TaskTest {
  private static final Pictures PICTURES = new PlainPictures();
  private static final int SIZE = 56;
  private static final int PLATE = View.item(1);

  @ParameterizedTest
  @EnumSource(Task.class)
  void theExpertSolvesItWithASteadyHandAndATremblingOne(Task task) {
    for (int seed = 0; seed < 150; seed++) {
      Scene scene = task.scene(seed, PICTURES);
      assertTrue(Demonstration.of(scene, 0, 0).actions().size() <= 40, task + " seed " + seed);
      Demonstration.of(scene, 0.2, seed); // It is an error not to end.
    }
  }

  @ParameterizedTest
  @EnumSource(Task.class)
  void aSeedGivesTheSameBits(Task task) {
    View first = view(task.scene(5, PICTURES));
    View again = view(task.scene(5, PICTURES));
    assertArrayEquals(first.image().pixels(), again.image().pixels());
    assertArrayEquals(first.entities(), again.entities());
    assertNotEquals(task.scene(5, PICTURES).toString(), task.scene(6, PICTURES).toString());
  }

  @ParameterizedTest
  @EnumSource(Task.class)
  void nothingTouchesAtTheStart(Task task) {
    for (int seed = 0; seed < 150; seed++) {
      Scene scene = task.scene(seed, PICTURES);
      for (Scene.Receptacle dish : scene.receptacles()) {
        for (Scene.Item item : scene.items()) {
          assertTrue(distance(dish.x(), dish.y(), item.x(), item.y()) > 0.1, task + " " + seed);
        }
        for (Scene.Receptacle other : scene.receptacles()) {
          assertTrue(
              dish == other || distance(dish.x(), dish.y(), other.x(), other.y()) > 0.095,
              task + " " + seed);
        }
      }
      if (scene.items().size() > 1) {
        Scene.Item a = scene.items().get(0);
        Scene.Item b = scene.items().get(1);
        assertTrue(distance(a.x(), a.y(), b.x(), b.y()) > 0.08, task + " " + seed);
      }
    }
  }

  private static double distance(double x1, double y1, double x2, double y2) {
    return Math.hypot(x1 - x2, y1 - y2);
  }

  @Test
  void onlyTheTableChanges() {
    compare(Task.VISION_IMAGE, entity -> false, entity -> entity == 0);
  }

  @Test
  void onlyRobotAndThingsAreBlended() {
    compare(Task.VISION_TEXTURE_03, entity -> false, entity -> entity != 0);
    compare(Task.VISION_TEXTURE_05, entity -> false, entity -> entity != 0);
  }

  @Test
  void thePictureIsBlendedAndNothingMoves() {
    compare(Task.VISION_WHOLE_03, entity -> false, entity -> true);
    compare(Task.VISION_WHOLE_05, entity -> false, entity -> true);
    int[] changed = new int[2];
    for (int i = 0; i < 2; i++) {
      Task task = i == 0 ? Task.VISION_WHOLE_03 : Task.VISION_WHOLE_05;
      byte[] base = view(NarrowScenes.of(3)).image().pixels();
      byte[] now = view(task.scene(3, PICTURES)).image().pixels();
      for (int p = 0; p < base.length; p++) {
        changed[i] += Math.abs((base[p] & 0xff) - (now[p] & 0xff));
      }
    }
    assertTrue(changed[0] > 0 && changed[1] > 0);
  }

  /** Their shadows fall otherwise, too; the masks know of none. */
  @Test
  void onlyTheObjectChanges() {
    compare(Task.CARROT, entity -> entity == View.item(0), entity -> true);
    for (int seed = 0; seed < 100; seed++) {
      assertNotEquals(ObjectKind.CARROT, Task.CARROT.scene(seed, PICTURES).items().get(0).kind());
    }
  }

  @Test
  void onlyThePlateChanges() {
    compare(Task.PLATE, entity -> entity == PLATE, entity -> true);
  }

  @Test
  void onlyTheStartOfTheHandChanges() {
    compare(Task.EE_POSE, entity -> entity == View.ROBOT, entity -> true);
  }

  @Test
  void onlyThePlacesChange() {
    compare(Task.POSITION, entity -> entity > View.ROBOT, entity -> true);
  }

  @Test
  void onlyTheWordsChange() {
    compare(Task.INSTRUCT, entity -> false, entity -> false);
    Set<String> said = new HashSet<>();
    for (int seed = 0; seed < 300; seed++) {
      Scene scene = Task.INSTRUCT.scene(seed, PICTURES);
      assertNotEquals(NarrowScenes.of(seed).instruction(), scene.instruction());
      assertTrue(scene.instruction().matches(".*carrot.*plate.*"), scene.instruction());
      said.add(scene.instruction());
    }
    assertEquals(16, said.size());
  }

  /** The same picture until it jumps. */
  @Test
  void onlyTheCarrotJumps() {
    Scene base = NarrowScenes.of(4);
    Scene scene = Task.POSITION_CHANGE_TO.scene(4, PICTURES);
    TabletopEnvironment still = new TabletopEnvironment(base);
    TabletopEnvironment jumping = new TabletopEnvironment(scene);
    float[] wait = {0, 0, 0, 0, 0, 0, 1};
    for (int step = 0; step < 2; step++) {
      assertArrayEquals(still.render(SIZE).pixels(), jumping.render(SIZE).pixels());
      still.step(wait);
      jumping.step(wait);
    }
    jumping.step(wait);
    TabletopEnvironment.Pose before = still.item(0);
    TabletopEnvironment.Pose after = jumping.item(0);
    assertTrue(Math.hypot(before.x() - after.x(), before.y() - after.y()) >= 0.12);
    assertEquals(before.yaw(), after.yaw());
  }

  @Test
  void theDistractorIsNeverTheTarget() {
    for (int seed = 0; seed < 500; seed++) {
      Scene scene = Task.MULTI_CARROT.scene(seed, PICTURES);
      assertEquals(2, scene.items().size());
      assertNotEquals(scene.items().get(0).kind(), scene.items().get(1).kind());
      assertTrue(scene.instruction().contains(scene.items().get(0).label()));
      Scene.Item carrot = NarrowScenes.of(seed).items().get(0);
      assertEquals(carrot.x(), scene.items().get(0).x());
      assertEquals(NarrowScenes.of(seed).target(), scene.target());
    }
  }

  @Test
  void twoDishesAreToldApart() {
    for (int seed = 0; seed < 200; seed++) {
      Scene scene = Task.MULTI_PLATE.scene(seed, PICTURES);
      assertEquals(2, scene.receptacles().size());
      assertNotEquals(scene.receptacles().get(0).kind(), scene.receptacles().get(1).kind());
      assertTrue(scene.instruction().endsWith(scene.target().kind().word()));
    }
  }

  /**
   * Compares starts with those of training.
   *
   * @param moved entities that pixels may belong to that show another entity than before
   * @param repainted entities whose pixels may look otherwise
   */
  private static void compare(Task task, IntPredicate moved, IntPredicate repainted) {
    int different = 0;
    int between = 0;
    for (int seed = 0; seed < 12; seed++) {
      View base = view(NarrowScenes.of(seed));
      View now = view(task.scene(seed, PICTURES));
      for (int i = 0; i < base.entities().length; i++) {
        int before = base.entities()[i];
        int after = now.entities()[i];
        assertTrue(
            before == after || moved.test(before) || moved.test(after),
            task + " seed " + seed + ": " + before + " became " + after);
        boolean same = true;
        for (int c = 0; c < 3; c++) {
          same &= base.image().pixels()[3 * i + c] == now.image().pixels()[3 * i + c];
        }
        // The colour of a pixel at an edge is of both sides.
        boolean edge = isEdge(base, i) || isEdge(now, i);
        between += same || edge || repainted.test(after) ? 0 : 1;
        different += same ? 0 : 1;
      }
    }
    // A gap between two parts of the arm, narrower than a pixel, shows what is behind.
    assertTrue(between <= 12 * 3, task + " repaints " + between + " other pixels");
    assertTrue(task == Task.INSTRUCT || different > 12 * 20, task + " changes " + different);
  }

  private static boolean isEdge(View view, int i) {
    byte[] entities = view.entities();
    boolean edge = false;
    for (int step : new int[] {-1, 1, -SIZE, SIZE, -SIZE - 1, -SIZE + 1, SIZE - 1, SIZE + 1}) {
      int j = i + step;
      edge |= j >= 0 && j < entities.length && entities[j] != entities[i];
    }
    return edge;
  }

  private static View view(Scene scene) {
    return new TabletopEnvironment(scene).view(SIZE);
  }

  @Test
  void namesOfTasks() {
    assertEquals(22, Task.parse("all").size());
    assertEquals(13, Task.parse("ood").size());
    assertEquals(8, Task.parse("boards").size());
    assertEquals(
        List.of(Task.IN_DISTRIBUTION, Task.EE_POSE, Task.SHAPE),
        Task.parse("in_distribution,EEPose, shape"));
    assertThrows(IllegalArgumentException.class, () -> Task.parse("shapes"));
  }
}
