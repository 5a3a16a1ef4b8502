package org.sightline.study.rollout;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.sightline.Checks;
import org.sightline.Seeds;
import org.sightline.study.task.Pictures;
import org.sightline.study.task.Task;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.tabletop.Scene;
import org.sightline.vla.tabletop.TabletopEnvironment;

/**
 * Lets an actor try scenes, many side by side. Scenes and luck depend on the seeds alone, so that
 * actors can be compared episode by episode; as in the paper no episode stops on success.
 *
 * @param steps of every episode
 * @param imageSize of the camera's square pictures, in pixels
 * @param batch how many robots act at once
 * @param pictures on boards
 */
public record Rollout(int steps, int imageSize, int batch, Pictures pictures) {
  public Rollout {
    Checks.atLeast("steps", steps, 1);
    Checks.atLeast("imageSize", imageSize, 16);
    Checks.atLeast("batch", batch, 1);
  }

  /**
   * Runs a task's scenes.
   *
   * @param scenes how many
   * @param seed of the first; the next ones follow
   * @param filmed how many of them, from the first, keep their frames
   */
  public List<Episode> run(Actor actor, Task task, int scenes, long seed, int filmed)
      throws IOException {
    List<Episode> episodes = new ArrayList<>();
    for (int first = 0; first < scenes; first += batch) {
      List<Attempt> attempts = new ArrayList<>();
      for (int i = first; i < Math.min(scenes, first + batch); i++) {
        attempts.add(new Attempt(task, seed + i, i < filmed));
      }
      for (int step = 0; step < steps; step++) {
        step(actor, attempts, step);
      }
      attempts.forEach(attempt -> episodes.add(attempt.end()));
    }
    return episodes;
  }

  private void step(Actor actor, List<Attempt> attempts, int step) throws IOException {
    List<RgbImage> images = attempts.stream().map(Attempt::look).toList();
    List<String> instructions =
        attempts.stream().map(attempt -> attempt.scene.instruction()).toList();
    long[] luck = attempts.stream().mapToLong(a -> Seeds.of(a.seed, "step " + step)).toArray();
    List<float[]> actions = actor.act(images, instructions, luck);
    for (int i = 0; i < attempts.size(); i++) {
      attempts.get(i).step(actions.get(i));
    }
  }

  /** An episode under way. */
  private final class Attempt {
    private final Task task;
    private final long seed;
    private final Scene scene;
    private final TabletopEnvironment state;
    private final List<RgbImage> frames; // null: not filmed
    private boolean successOnce;
    private boolean grasped;
    private boolean graspedOther;
    private boolean wrongTarget;

    Attempt(Task task, long seed, boolean filmed) {
      this.task = task;
      this.seed = seed;
      this.scene = task.scene(seed, pictures);
      this.state = new TabletopEnvironment(scene);
      this.frames = filmed ? new ArrayList<>() : null;
    }

    RgbImage look() {
      RgbImage image = state.render(imageSize);
      if (frames != null) {
        frames.add(image);
      }
      return image;
    }

    void step(float[] action) {
      state.step(action);
      int rests = state.restsOn();
      successOnce |= state.isSuccess();
      grasped |= state.held() == scene.item();
      graspedOther |= state.held() >= 0 && state.held() != scene.item();
      wrongTarget |= rests >= 0 && rests != scene.receptacle();
    }

    Episode end() {
      if (frames != null) {
        look();
      }
      return new Episode(
          task,
          seed,
          scene.instruction(),
          state.isSuccess(),
          successOnce,
          grasped,
          graspedOther,
          wrongTarget,
          frames == null ? List.of() : List.copyOf(frames));
    }
  }
}
