package org.sightline.study.rollout;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.policy.Action;
import org.sightline.vla.policy.Policy;
import org.sightline.vla.policy.rest.RemotePolicy;

/** Whoever acts for several robots at once. */
@FunctionalInterface
public interface Actor {
  /**
   * The next actions.
   *
   * @param images what each robot's camera sees
   * @param instructions what each is to do
   * @param seeds of each one's luck, where the actor draws
   * @return 7 values each, as {@link org.sightline.vla.tabletop.TabletopEnvironment#step} takes
   *     them
   */
  List<float[]> act(List<RgbImage> images, List<String> instructions, long[] seeds)
      throws IOException;

  /**
   * A policy of this process.
   *
   * @param temperature at which actions are drawn; 0: the most likely ones
   */
  static Actor of(Policy policy, double temperature) {
    return (images, instructions, seeds) ->
        policy.act(images, instructions, temperature, seeds).stream().map(Action::values).toList();
  }

  /** A policy behind an address, asked for one robot after another. */
  static Actor of(RemotePolicy policy) {
    return (images, instructions, seeds) -> {
      List<float[]> actions = new ArrayList<>();
      for (int i = 0; i < images.size(); i++) {
        actions.add(policy.act(images.get(i), instructions.get(i)));
      }
      return actions;
    };
  }
}
