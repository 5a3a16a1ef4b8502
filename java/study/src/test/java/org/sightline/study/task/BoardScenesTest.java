package org.sightline.study.task;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.sightline.vla.tabletop.Scene;
import org.sightline.vla.tabletop.TabletopEnvironment;
import org.sightline.vla.tabletop.View;

class BoardScenesTest {
  private static final Pictures PICTURES = new PlainPictures();

  /**
   * All cases of what is asked for, where it lies, and which digits: 2·2·16. Put on the board that
   * the words mean the carrot scores, on the other it does not. The paper's release has it the
   * wrong way round in all four cases of the first two.
   */
  @Test
  void theScoredDigitHasTheParityThatIsAskedFor() {
    Set<String> cases = new HashSet<>();
    for (int seed = 0; seed < 2000; seed++) {
      Scene scene = Task.PARITY.scene(seed, PICTURES);
      assertEquals(2, scene.receptacles().size());
      int left = digit(scene, 0);
      int right = digit(scene, 1);
      assertTrue(left % 2 != right % 2);
      boolean odd = scene.instruction().equals("put carrot on odd number");
      assertTrue(odd || scene.instruction().equals("put carrot on even number"));
      int meant = left % 2 == (odd ? 1 : 0) ? 0 : 1;
      if (cases.add(odd + " " + left + " " + right)) {
        for (int board = 0; board < 2; board++) {
          TabletopEnvironment end = placed(scene, board);
          assertEquals(board, end.restsOn());
          assertEquals(board == meant, end.isSuccess());
        }
      }
    }
    assertEquals(2 * 2 * 16, cases.size());
  }

  private static int digit(Scene scene, int board) {
    return Integer.parseInt(PlainPictures.name(Task.PARITY, scene.receptacles().get(board).face()));
  }

  /** The carrot by hand onto a board, whatever the words say. */
  private static TabletopEnvironment placed(Scene scene, int board) {
    Scene.Receptacle there = scene.receptacles().get(board);
    TabletopEnvironment state =
        new TabletopEnvironment(
            scene.withItems(java.util.List.of(scene.items().get(0).at(there.x(), there.y(), 0))));
    state.step(new float[] {0, 0, 0, 0, 0, 0, 1});
    return state;
  }

  @ParameterizedTest
  @EnumSource(
      value = Task.class,
      names = {"ARROW", "LAUNDRY", "PUBLIC_INFO", "TRAFFIC", "WEATHER"})
  void theInstructedSignIsTheTarget(Task set) {
    for (int seed = 0; seed < 60; seed++) {
      Scene scene = set.scene(seed, PICTURES);
      Set<String> names =
          scene.receptacles().stream()
              .map(r -> PlainPictures.name(set, r.face()))
              .collect(Collectors.toSet());
      assertEquals(3, names.size(), "three different ones");
      String target = PlainPictures.name(set, scene.target().face());
      assertTrue(
          scene.instruction().contains(" " + target + " "),
          scene.instruction() + " is for " + target);
    }
  }

  /** The camera looks back at the robot: what it calls left has the smaller y. */
  @Test
  void sidesAreTheCameras() {
    Set<String> sides = new HashSet<>();
    for (int seed = 0; seed < 40; seed++) {
      Scene scene = Task.WEATHER.scene(seed, PICTURES);
      View view = new TabletopEnvironment(scene).view(84);
      double sum = 0;
      int count = 0;
      for (int i = 0; i < view.entities().length; i++) {
        if (view.entities()[i] == View.receptacle(scene, scene.receptacle())) {
          sum += i % 84;
          count++;
        }
      }
      double column = sum / count / 84;
      String side = BoardScenes.side(scene);
      assertEquals(column < 0.4 ? "left" : column > 0.6 ? "right" : "center", side);
      assertTrue(count > 150, "a board shows " + count + " pixels");
      sides.add(side);
    }
    assertEquals(3, sides.size());
  }
}
