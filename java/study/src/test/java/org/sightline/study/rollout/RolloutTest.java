package org.sightline.study.rollout;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.sightline.study.task.PlainPictures;
import org.sightline.study.task.Task;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.tabletop.Scene;
import org.sightline.vla.tabletop.ScriptedExpert;
import org.sightline.vla.tabletop.TabletopEnvironment;

/** Episodes by hand: actors that know the scenes and do one thing each. */
class RolloutTest {
  private static final Rollout ROLLOUT = new Rollout(40, 24, 3, new PlainPictures());

  /** Replays the scenes of a task beside the runner, and chooses what to do in each. */
  private static final class Puppet implements Actor {
    interface Choice {
      float[] act(TabletopEnvironment state, int step);
    }

    private final List<TabletopEnvironment> states = new ArrayList<>();
    private final List<Integer> steps = new ArrayList<>();
    private final Choice choice;
    private final Task task;
    private int next;

    Puppet(Task task, Choice choice) {
      this.task = task;
      this.choice = choice;
    }

    @Override
    public List<float[]> act(List<RgbImage> images, List<String> instructions, long[] seeds) {
      if (states.isEmpty() || steps.get(0) == ROLLOUT.steps()) { // The next batch.
        states.clear();
        steps.clear();
        for (int i = 0; i < images.size(); i++) {
          states.add(new TabletopEnvironment(scene(task, next++)));
          steps.add(0);
        }
      }
      List<float[]> actions = new ArrayList<>();
      for (int i = 0; i < states.size(); i++) {
        TabletopEnvironment state = states.get(i);
        assertArrayEquals(state.render(24).pixels(), images.get(i).pixels());
        float[] action = choice.act(state, steps.get(i));
        state.step(action);
        steps.set(i, steps.get(i) + 1);
        actions.add(action);
      }
      return actions;
    }
  }

  private static Scene scene(Task task, long seed) {
    return task.scene(seed, new PlainPictures());
  }

  private static List<Episode> run(Task task, Puppet.Choice choice) throws IOException {
    return ROLLOUT.run(new Puppet(task, choice), task, 4, 0, 1);
  }

  private static final float[] WAIT = {0, 0, 0, 0, 0, 0, 1};

  private static float[] expertThenWait(TabletopEnvironment state) {
    return ScriptedExpert.isDone(state) ? WAIT : ScriptedExpert.act(state);
  }

  @Test
  void theExpertSucceeds() throws IOException {
    for (Task task : List.of(Task.IN_DISTRIBUTION, Task.PARITY, Task.POSITION_CHANGE_TO)) {
      List<Episode> episodes = run(task, (state, step) -> expertThenWait(state));
      assertEquals(4, episodes.size());
      for (Episode episode : episodes) {
        assertTrue(episode.success() && episode.successOnce() && episode.grasped());
        assertFalse(episode.wrongTarget() || episode.graspedOther());
        assertEquals("success", episode.outcome());
        assertEquals(scene(task, episode.seed()).instruction(), episode.instruction());
      }
      assertEquals(41, episodes.get(0).frames().size());
      assertTrue(episodes.get(1).frames().isEmpty());
    }
  }

  @Test
  void whoWaitsGraspsNothing() throws IOException {
    for (Episode episode : run(Task.SHAPE, (state, step) -> WAIT)) {
      assertFalse(episode.success() || episode.successOnce() || episode.grasped());
      assertEquals("not grasped", episode.outcome());
    }
  }

  /** To the right place and off it again: once, but not at the end. */
  @Test
  void successIsNotForEver() throws IOException {
    List<Episode> episodes =
        run(
            Task.IN_DISTRIBUTION,
            (state, step) -> {
              if (step < 25) {
                return expertThenWait(state);
              }
              // Down onto it, closed, and up.
              TabletopEnvironment.Pose item = state.item(0);
              float dx = (float) (item.x() - state.position().x());
              float dy = (float) (item.y() - state.position().y());
              float dz = (float) (item.z() - state.position().z());
              float turn = (float) (item.yaw() - Math.PI * Math.rint(item.yaw() / Math.PI));
              return step < 32
                  ? new float[] {dx, dy, dz, 0, 0, turn - state.state()[5], 1}
                  : new float[] {0, 0, step == 32 ? 0 : 0.01f, 0, 0, 0, 0};
            });
    for (Episode episode : episodes) {
      assertTrue(episode.successOnce());
      assertFalse(episode.success());
      assertEquals("success, undone", episode.outcome());
    }
  }

  /** The expert of another instruction: all is right but the board. */
  @Test
  void theWrongBoardIsCountedApart() throws IOException {
    List<Episode> episodes =
        run(
            Task.PARITY,
            (state, step) -> {
              TabletopEnvironment other =
                  new TabletopEnvironment(
                      state.scene().withReceptacle(1 - state.scene().receptacle()));
              return misled(other, state);
            });
    for (Episode episode : episodes) {
      assertTrue(episode.wrongTarget() && episode.grasped());
      assertFalse(episode.success() || episode.successOnce());
      assertEquals("wrong target", episode.outcome());
    }
  }

  /** What the expert would do here if the other board were meant. */
  private static float[] misled(TabletopEnvironment other, TabletopEnvironment state) {
    TabletopEnvironment.Pose item = state.item(0);
    if (state.held() < 0 && state.restsOn() >= 0) {
      return WAIT;
    }
    if (state.held() < 0) {
      return ScriptedExpert.act(state);
    }
    Scene.Receptacle there = other.scene().target();
    float dx = (float) (there.x() - state.position().x());
    float dy = (float) (there.y() - state.position().y());
    return Math.hypot(dx, dy) > 0.02
        ? new float[] {dx, dy, item.z() < 0.1 ? 0.03f : 0, 0, 0, 0, 0}
        : WAIT;
  }

  @Test
  void theWrongObjectIsCountedApart() throws IOException {
    List<Episode> episodes =
        run(
            Task.MULTI_CARROT,
            (state, step) -> {
              TabletopEnvironment.Pose item = state.item(1);
              float dx = (float) (item.x() - state.position().x());
              float dy = (float) (item.y() - state.position().y());
              float dz = (float) (item.z() - state.position().z());
              float yaw = (float) item.yaw() - state.state()[5];
              return new float[] {dx, dy, dz, 0, 0, yaw, step < 12 ? 1 : 0};
            });
    for (Episode episode : episodes) {
      assertTrue(episode.graspedOther());
      assertFalse(episode.grasped() || episode.success());
      assertEquals("wrong object", episode.outcome());
    }
  }

  /** Batches of another size change nothing. */
  @Test
  void episodesDoNotDependOnTheirNeighbours() throws IOException {
    List<long[]> seen = new ArrayList<>();
    Actor wait =
        (images, instructions, seeds) -> {
          seen.add(seeds.clone());
          return images.stream().map(image -> WAIT).toList();
        };
    new Rollout(1, 24, 4, new PlainPictures()).run(wait, Task.PLATE, 4, 10, 0);
    new Rollout(1, 24, 1, new PlainPictures()).run(wait, Task.PLATE, 4, 10, 0);
    for (int i = 0; i < 4; i++) {
      assertEquals(seen.get(0)[i], seen.get(1 + i)[0]);
    }
  }

  @Test
  void sheetsShowWhatWasFilmed() throws IOException {
    List<Episode> episodes = run(Task.ARROW, (state, step) -> expertThenWait(state));
    var sheet = ImageIO.read(new ByteArrayInputStream(ContactSheet.png(episodes)));
    assertEquals(8 * 24, sheet.getWidth());
    assertEquals(24 + 16, sheet.getHeight());
    RgbImage last = episodes.get(0).frames().get(40);
    assertEquals(
        last.get(5, 7, 0) << 16 | last.get(5, 7, 1) << 8 | last.get(5, 7, 2),
        sheet.getRGB(7 * 24 + 5, 16 + 7) & 0xffffff);
    assertNull(ContactSheet.png(episodes.subList(1, 2)));
  }
}
