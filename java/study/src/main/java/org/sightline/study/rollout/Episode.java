package org.sightline.study.rollout;

import java.util.List;
import org.sightline.study.task.Task;
import org.sightline.vla.data.image.RgbImage;

/**
 * What came of an attempt.
 *
 * @param task that was tried
 * @param seed of its scene
 * @param instruction that was given
 * @param success whether the object rested on its target when time was up
 * @param successOnce whether it ever did
 * @param grasped whether the object was ever held
 * @param graspedOther whether another one was
 * @param wrongTarget whether the object was ever let go on another receptacle
 * @param frames what the camera saw before each step and after the last; empty unless asked for
 */
public record Episode(
    Task task,
    long seed,
    String instruction,
    boolean success,
    boolean successOnce,
    boolean grasped,
    boolean graspedOther,
    boolean wrongTarget,
    List<RgbImage> frames) {
  /** In a word or two. */
  public String outcome() {
    if (success) {
      return "success";
    }
    if (successOnce) {
      return "success, undone";
    }
    if (wrongTarget) {
      return "wrong target";
    }
    return graspedOther ? "wrong object" : grasped ? "dropped" : "not grasped";
  }
}
