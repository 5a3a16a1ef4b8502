package org.sightline.vla.tabletop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.sightline.vla.data.image.RgbImage;

class TabletopEnvironmentTest {
  private static final int SCENES = 400;

  @Test
  void theExpertSolvesEveryScene() {
    int shortest = Integer.MAX_VALUE;
    int longest = 0;
    for (int seed = 0; seed < SCENES; seed++) {
      Scene scene = Scene.sample(seed);
      List<float[]> actions = Demonstration.of(scene, 0, 0).actions();
      // Only the recorded floats count: replay them on a fresh table.
      TabletopEnvironment replay = new TabletopEnvironment(scene);
      assertFalse(replay.isSuccess());
      for (float[] action : actions) {
        assertFalse(ScriptedExpert.isDone(replay));
        assertLimits(action);
        replay.step(action);
      }
      assertTrue(replay.isSuccess(), "scene " + seed + ": " + scene.instruction());
      assertOthersUntouched(scene, replay);
      shortest = Math.min(shortest, actions.size());
      longest = Math.max(longest, actions.size());
    }
    assertTrue(shortest >= 12 && longest <= 28, shortest + " to " + longest + " steps");
  }

  private static void assertLimits(float[] action) {
    assertEquals(7, action.length);
    for (int i = 0; i < 3; i++) {
      assertTrue(Math.abs(action[i]) <= TabletopEnvironment.MAX_MOVE + 1e-7);
      assertTrue(Math.abs(action[3 + i]) <= TabletopEnvironment.MAX_TURN + 1e-7);
    }
    assertTrue(action[6] == 0 || action[6] == 1);
  }

  private static void assertOthersUntouched(Scene scene, TabletopEnvironment end) {
    for (int i = 0; i < scene.items().size(); i++) {
      if (i != scene.item()) {
        assertEquals(scene.items().get(i).x(), end.item(i).x());
        assertEquals(scene.items().get(i).y(), end.item(i).y());
      }
    }
  }

  /** Whatever a trembling hand does to its motions, and when it slips. */
  @Test
  void theExpertRecovers() {
    for (int seed = 0; seed < 200; seed++) {
      Demonstration shaken = Demonstration.of(Scene.sample(seed), 0.2, seed);
      int steps = shaken.actions().size(); // It is an error not to end.
      assertTrue(steps < 80, "scene " + seed + " took " + steps + " steps");
    }
  }

  /** What is done in most steps must not be what is done in all, or one answer does for any. */
  @Test
  void motionsAreSeldomExactlyZero() {
    int[] zeros = new int[6];
    int steps = 0;
    for (int seed = 0; seed < 100; seed++) {
      for (float[] action : Demonstration.of(Scene.sample(seed), 0.1, seed).actions()) {
        steps++;
        for (int d = 0; d < 6; d++) {
          zeros[d] += Math.abs(action[d]) < 1e-4 ? 1 : 0;
        }
      }
    }
    for (int d = 0; d < 6; d++) {
      assertTrue(zeros[d] < 0.03 * steps, "dimension " + d + ": " + zeros[d] + " of " + steps);
    }
  }

  /** Against the rule in words, step by step. */
  @Test
  void smallActionsAreLeftOut() {
    int left = 0;
    for (int seed = 0; seed < 50; seed++) {
      Demonstration whole = Demonstration.of(Scene.sample(seed), 0.1, seed);
      Demonstration rest = whole.withoutSmallActions();
      int at = 0;
      for (int i = 0; i < whole.actions().size(); i++) {
        float[] a = whole.actions().get(i);
        boolean toggles = a[6] != (i == 0 ? 1 : whole.actions().get(i - 1)[6]);
        double move = Math.max(Math.abs(a[0]), Math.max(Math.abs(a[1]), Math.abs(a[2])));
        double turn = Math.max(Math.abs(a[3]), Math.max(Math.abs(a[4]), Math.abs(a[5])));
        if (toggles || move > 0.01 || turn > 0.06) {
          assertEquals(a, rest.actions().get(at));
          assertEquals(whole.moments().get(i), rest.moments().get(at++));
        } else {
          left++;
        }
      }
      assertEquals(rest.actions().size(), at);
    }
    assertTrue(left > 0);
  }

  /** Above the 12 pixels that a patch of 14 can tell apart. */
  @Test
  void objectsAreLargeEnoughToSee() {
    for (ObjectKind kind : ObjectKind.values()) {
      Scene.Item item = new Scene.Item(kind, Palette.RED, 0.30, 0.03, 0.4);
      Scene scene = Scene.sample(1).withItems(List.of(item)).withItem(0);
      View view = new TabletopEnvironment(scene).view(84);
      int[] box = {84, 84, 0, 0};
      for (int i = 0; i < view.entities().length; i++) {
        if (view.entities()[i] == View.item(0)) {
          box[0] = Math.min(box[0], i % 84);
          box[1] = Math.min(box[1], i / 84);
          box[2] = Math.max(box[2], i % 84);
          box[3] = Math.max(box[3], i / 84);
        }
      }
      int side = 1 + Math.max(box[2] - box[0], box[3] - box[1]);
      assertTrue(side >= 12, kind + " is " + side + " pixels wide");
    }
  }

  /** A moment can be left and taken up again. */
  @Test
  void copiesGoTheirOwnWay() {
    TabletopEnvironment first = new TabletopEnvironment(Scene.sample(2));
    TabletopEnvironment copy = first.copy();
    copy.step(new float[] {0.05f, 0, 0, 0, 0, 0, 0});
    assertEquals(first.scene().gripper().position(), first.position());
    assertNotEquals(first.position(), copy.position());
    assertArrayEquals(copy.view(48).entities(), copy.copy().view(48).entities());
  }

  /** The expert must not rely on memory: a copy in the same state acts the same. */
  @Test
  void theExpertActsOnTheVisibleStateAlone() {
    Scene scene = Scene.sample(3);
    List<float[]> actions = Demonstration.of(scene, 0, 0).actions();
    for (int i = 0; i < actions.size(); i++) {
      TabletopEnvironment copy = new TabletopEnvironment(scene);
      actions.subList(0, i).forEach(copy::step);
      assertArrayEquals(actions.get(i), ScriptedExpert.act(copy));
      assertArrayEquals(actions.get(i), ScriptedExpert.act(copy));
    }
  }

  @Test
  void scenesAreTidyAndUnambiguous() {
    Set<String> instructions = new HashSet<>();
    for (int seed = 0; seed < SCENES; seed++) {
      Scene scene = Scene.sample(seed);
      instructions.add(scene.instruction());
      assertTrue(
          scene
              .instruction()
              .matches("put ([a-z]+ )?[a-z]+ (on|in) ([a-z]+ )?(plate|bowl|tray|cloth)"),
          scene.instruction());
      Set<String> labels = new HashSet<>();
      for (Scene.Item item : scene.items()) {
        assertTrue(labels.add(item.label()));
        for (Scene.Receptacle r : scene.receptacles()) {
          assertTrue(
              Math.hypot(item.x() - r.x(), item.y() - r.y()) > r.kind().radius() + 0.03,
              "no object starts on a receptacle");
        }
      }
      Scene.Receptacle first = scene.receptacles().get(0);
      Scene.Receptacle second = scene.receptacles().get(1);
      assertNotEquals(first.colour(), second.colour());
      assertTrue(Math.hypot(first.x() - second.x(), first.y() - second.y()) > 0.13);
      if (first.kind() == second.kind()) {
        assertTrue(
            scene
                .instruction()
                .endsWith(scene.target().colour().word() + " " + scene.target().kind().word()));
      }
    }
    assertTrue(instructions.size() > SCENES / 4, instructions.size() + " different tasks");
  }

  @Test
  void everythingIsInThePicture() {
    for (int seed = 0; seed < SCENES; seed++) {
      Scene scene = Scene.sample(seed);
      for (Scene.Item item : scene.items()) {
        assertInView(scene.look(), new Vec3(item.x(), item.y(), 0.02), 0.96);
      }
      for (Scene.Receptacle r : scene.receptacles()) {
        assertInView(scene.look(), new Vec3(r.x(), r.y(), 0.01), 0.90);
      }
      assertInView(scene.look(), scene.gripper().position(), 1);
    }
  }

  private static void assertInView(Look look, Vec3 point, double share) {
    Vec3 forward = look.target().minus(look.eye()).normalized();
    Vec3 right = forward.cross(Vec3.UP).normalized();
    Vec3 offset = point.minus(look.eye());
    double depth = offset.dot(forward) * Math.tan(look.fieldOfView() / 2);
    double x = offset.dot(right) / depth;
    double y = offset.dot(right.cross(forward)) / depth;
    assertTrue(Math.abs(x) < share && Math.abs(y) < share, point + " is seen at " + x + "," + y);
  }

  /** What a policy needs must be visible: moving the object, opening the hand, lifting it. */
  @Test
  void picturesShowTheState() {
    Scene scene = Scene.sample(11);
    RgbImage start = new TabletopEnvironment(scene).render(96);
    assertArrayEquals(start.pixels(), new TabletopEnvironment(scene).render(96).pixels());
    assertTrue(changed(start, Scene.sample(12)) > 96 * 96 / 2, "another scene looks different");
    float[] still = {0, 0, 0, 0, 0, 0, 1};
    assertEquals(0, changed(start, scene, still));
    assertTrue(changed(start, scene, new float[] {0, 0, 0, 0, 0, 0, 0}) > 15, "closing");
    assertTrue(changed(start, scene, new float[] {0, 0, -0.03f, 0, 0, 0, 1}) > 100, "lowering");
    assertTrue(changed(start, scene, new float[] {0, 0.03f, 0, 0, 0, 0, 1}) > 100, "moving");
    assertTrue(changed(start, scene, new float[] {0, 0, 0, 0, 0, 0.3f, 1}) > 60, "turning");
  }

  private static int changed(RgbImage start, Scene scene, float[]... actions) {
    TabletopEnvironment environment = new TabletopEnvironment(scene);
    for (float[] action : actions) {
      environment.step(action);
    }
    RgbImage now = environment.render(start.width());
    int pixels = 0;
    for (int i = 0; i < now.pixels().length; i += 3) {
      int difference = 0;
      for (int c = 0; c < 3; c++) {
        difference += Math.abs((now.pixels()[i + c] & 0xff) - (start.pixels()[i + c] & 0xff));
      }
      pixels += difference > 24 ? 1 : 0;
    }
    return pixels;
  }

  @Test
  void deltasAreClipped() {
    TabletopEnvironment environment = new TabletopEnvironment(Scene.sample(1));
    float[] before = environment.state();
    environment.step(new float[] {9, -9, 9, 9, -9, 9, 1});
    float[] after = environment.state();
    float[] expected = {0.05f, -0.05f, 0.05f, 0.35f, -0.35f, 0.35f, 0};
    for (int i = 0; i < 7; i++) {
      assertEquals(expected[i], after[i] - before[i], 1e-6, "dimension " + i);
    }
    for (int i = 0; i < 10; i++) {
      environment.step(new float[] {0, 0, -1, 0, 0, 0, 1});
    }
    assertEquals(0.008f, environment.state()[2], "the table stops the gripper");
  }

  @Test
  void aMissedGraspHoldsNothing() {
    TabletopEnvironment environment = new TabletopEnvironment(Scene.sample(1));
    environment.step(new float[] {0, 0, 0, 0, 0, 0, 0});
    environment.step(new float[] {0, 0, 0, 0, 0, 0, 0});
    assertEquals(-1, environment.held());
    assertEquals(0, environment.opening());
  }

  /** Dropping the object anywhere else, or not letting go, is no success. */
  @Test
  void onlyTheInstructedPlaceCounts() {
    Scene scene = Scene.sample(5);
    List<float[]> actions = Demonstration.of(scene, 0, 0).actions();
    TabletopEnvironment environment = new TabletopEnvironment(scene);
    int i = 0;
    while (environment.held() < 0) {
      environment.step(actions.get(i++));
    }
    assertEquals(scene.item(), environment.held());
    TabletopEnvironment dropped = new TabletopEnvironment(scene);
    actions.subList(0, i).forEach(dropped::step);
    dropped.step(new float[] {0, 0, 0.05f, 0, 0, 0, 0});
    double z = dropped.item(scene.item()).z();
    dropped.step(new float[] {0, 0, 0, 0, 0, 0, 1});
    dropped.step(new float[] {0, 0, 0, 0, 0, 0, 1});
    assertEquals(-1, dropped.held());
    assertTrue(dropped.item(scene.item()).z() < z - 0.03, "it falls");
    assertFalse(dropped.isSuccess());
    while (i < actions.size() && actions.get(i)[6] == 0) {
      environment.step(actions.get(i++));
    }
    assertEquals(scene.item(), environment.held());
    assertFalse(environment.isSuccess(), "held above the target is not yet placed");
  }

  @Test
  void theOtherReceptacleDoesNotCount() {
    Scene scene = Scene.sample(5);
    Scene.Receptacle other =
        scene.receptacles().get(scene.receptacles().get(0) == scene.target() ? 1 : 0);
    for (Scene.Receptacle goal : new Scene.Receptacle[] {other, scene.target()}) {
      // Straight there, holding, then let go: the same motion fails or succeeds by the goal alone.
      TabletopEnvironment run = new TabletopEnvironment(scene);
      while (run.held() < 0) {
        run.step(ScriptedExpert.act(run));
      }
      for (int i = 0; i < 10; i++) {
        Vec3 at = run.position();
        run.step(
            new float[] {(float) (goal.x() - at.x()), (float) (goal.y() - at.y()), 0, 0, 0, 0, 0});
      }
      run.step(new float[] {0, 0, 0, 0, 0, 0, 1});
      run.step(new float[] {0, 0, 0, 0, 0, 0, 1});
      assertEquals(goal == scene.target(), run.isSuccess());
    }
  }

  @Test
  void wrongActionsAreExplained() {
    TabletopEnvironment environment = new TabletopEnvironment(Scene.sample(1));
    assertEquals(
        "action: found 6 values, expected 7",
        assertThrows(IllegalArgumentException.class, () -> environment.step(new float[6]))
            .getMessage());
    float[] action = new float[7];
    action[4] = Float.NaN;
    assertEquals(
        "action[4]: found NaN, expected a finite number",
        assertThrows(IllegalArgumentException.class, () -> environment.step(action)).getMessage());
  }
}
