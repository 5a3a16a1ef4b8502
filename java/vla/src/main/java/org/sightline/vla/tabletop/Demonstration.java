package org.sightline.vla.tabletop;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.sightline.Checks;

/**
 * An episode of the expert, with or without disturbance. The hand trembles and the expert answers:
 * what is recorded is what it wanted at each moment, not what became of it, so that moments are
 * wide and actions right (DART, Laskey et al., CoRL 2017).
 *
 * @param moments the states before each action; each may be stepped on by itself
 * @param actions of the expert in these states
 */
public record Demonstration(List<TabletopEnvironment> moments, List<float[]> actions) {
  /** No episode takes longer; a bound against a defect, not a limit on the data. */
  private static final int MAX_STEPS = 300;

  /** How often the gripper does the opposite, for each unit of noise. */
  private static final double SLIPS = 0.1;

  /**
   * The expert from start to end.
   *
   * @param noise standard deviation of what is added to each motion, as a share of the largest one
   * @param seed of the noise
   */
  public static Demonstration of(Scene scene, double noise, long seed) {
    Checks.notNegative("noise", noise);
    Random random = new Random(seed);
    TabletopEnvironment environment = new TabletopEnvironment(scene);
    List<TabletopEnvironment> moments = new ArrayList<>();
    List<float[]> actions = new ArrayList<>();
    while (!ScriptedExpert.isDone(environment)) {
      if (actions.size() == MAX_STEPS) {
        throw new IllegalStateException(
            "the expert did not finish '%s' in %d steps".formatted(scene.instruction(), MAX_STEPS));
      }
      float[] action = ScriptedExpert.act(environment);
      moments.add(environment.copy());
      actions.add(action);
      environment.step(noise == 0 ? action : disturbed(action, noise, random));
    }
    return new Demonstration(moments, actions);
  }

  private static float[] disturbed(float[] action, double noise, Random random) {
    float[] done = action.clone();
    for (int i = 0; i < 6; i++) {
      double most = i < 3 ? TabletopEnvironment.MAX_MOVE : TabletopEnvironment.MAX_TURN;
      done[i] += (float) (noise * most * random.nextGaussian());
    }
    done[6] = random.nextDouble() < noise * SLIPS ? 1 - done[6] : done[6];
    return done;
  }

  /**
   * The same without the moments in which hardly anything is wanted, as the paper's data is built:
   * all of |Δxyz| at most 1 cm and all of |Δeuler| at most .06 rad, unless the gripper changes.
   */
  public Demonstration withoutSmallActions() {
    List<TabletopEnvironment> keptMoments = new ArrayList<>();
    List<float[]> kept = new ArrayList<>();
    boolean open = true;
    for (int i = 0; i < actions.size(); i++) {
      float[] action = actions.get(i);
      boolean opens = action[6] >= 0.5f;
      if (opens != open || !isSmall(action)) {
        keptMoments.add(moments.get(i));
        kept.add(action);
      }
      open = opens;
    }
    return new Demonstration(keptMoments, kept);
  }

  private static boolean isSmall(float[] action) {
    boolean small = true;
    for (int i = 0; i < 6; i++) {
      small &= Math.abs(action[i]) <= (i < 3 ? 0.01 : 0.06);
    }
    return small;
  }

  /** The scene it started from. */
  public Scene scene() {
    return moments.get(0).scene();
  }
}
