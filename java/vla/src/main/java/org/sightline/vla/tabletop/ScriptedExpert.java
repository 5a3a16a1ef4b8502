package org.sightline.vla.tabletop;

/**
 * Solves a scene: reach for the object, close, carry, open, retreat. The action is a function of
 * the visible state alone, not of a hidden phase, so a policy that sees the image can learn it.
 *
 * <p>Every motion is proportional to what is left of it, and the gripper sinks in a funnel: the
 * less it is aside, the lower. So it recovers from any disturbance of its motions, no value is ever
 * left out of a step because it is done, and a policy that errs by a few millimetres in what it
 * sees acts nearly the same.
 */
public final class ScriptedExpert {
  private static final double GAIN = 0.6;
  private static final double HOVER = 0.10;
  private static final double CARRY = 0.11;

  /** Where it retreats to. */
  private static final Vec3 HOME = new Vec3(0.245, 0, 0.16);

  /** Height of the gripper above the table at which an episode may end. */
  private static final double DONE = 0.09;

  /** How near the gripper must be to close or open: metres, then radians. */
  private static final double NEAR = 0.014;

  private static final double TURNED = 0.25;

  /** Rise of the funnel over what is aside, and over what is left to turn, in metres a radian. */
  private static final double SLOPE = 2;

  private static final double TURN_SLOPE = 0.12;

  private ScriptedExpert() {}

  /** Whether the task is done and the gripper has retreated. */
  public static boolean isDone(TabletopEnvironment state) {
    return state.isSuccess() && state.position().z() > DONE;
  }

  /** The next action, 7 floats as {@link TabletopEnvironment#step} takes them. */
  public static float[] act(TabletopEnvironment state) {
    if (state.held() == state.scene().item()) {
      return carry(state);
    }
    boolean done = state.held() >= 0 || state.isPlaced(); // Or it holds the wrong thing.
    return done ? move(state, HOME, 0, 1, 1) : reach(state);
  }

  private static float[] reach(TabletopEnvironment state) {
    Vec3 at = state.position();
    TabletopEnvironment.Pose item = state.item(state.scene().item());
    ObjectKind kind = state.scene().items().get(state.scene().item()).kind();
    double turn = kind.canonicalYaw(item.yaw() - state.yaw());
    double yaw = kind.symmetry() == 0 ? 0 : state.yaw() + turn;
    double left = kind.symmetry() == 0 ? 0 : Math.abs(turn);
    double aside = distance(item.x(), item.y(), at);
    if (aside < NEAR && left < TURNED && Math.abs(at.z() - item.z()) < NEAR) {
      return move(state, new Vec3(item.x(), item.y(), item.z()), yaw, 1, 0);
    }
    double above = SLOPE * Math.max(0, aside - NEAR) + TURN_SLOPE * Math.max(0, left - TURNED / 2);
    Vec3 to = new Vec3(item.x(), item.y(), item.z() + Math.min(HOVER, above));
    return move(state, to, yaw, 1, 1);
  }

  private static float[] carry(TabletopEnvironment state) {
    Vec3 at = state.position();
    Scene.Receptacle target = state.scene().target();
    ObjectKind kind = state.scene().items().get(state.scene().item()).kind();
    double place = target.kind().surface() + kind.halfHeight() + 0.006;
    double aside = distance(target.x(), target.y(), at);
    double above = Math.min(CARRY, SLOPE * Math.max(0, aside - NEAR));
    Vec3 to = new Vec3(target.x(), target.y(), place + above);
    if (aside < NEAR && at.z() < place + NEAR) {
      return move(state, to, 0, 1, 1);
    }
    // Slowly until it is clear of the table, so that nothing is swept along.
    double clear = Math.max(0, Math.min(1, (at.z() - kind.halfHeight()) / Math.max(0.02, above)));
    return move(state, to, 0, 0.2 + 0.8 * clear, 0);
  }

  private static double distance(double x, double y, Vec3 at) {
    return StrictMath.hypot(x - at.x(), y - at.y());
  }

  /** A share of the way towards a pose, clipped; the wrist leans with the arm. */
  private static float[] move(
      TabletopEnvironment state, Vec3 to, double yaw, double haste, int gripper) {
    Vec3 at = state.position();
    double gain = GAIN * haste;
    double left = distance(to.x(), to.y(), at);
    double share = Math.min(gain, TabletopEnvironment.MAX_MOVE / Math.max(left, 1e-12));
    Vec3 step =
        new Vec3(
            (to.x() - at.x()) * share,
            (to.y() - at.y()) * share,
            clip(GAIN * (to.z() - at.z()), TabletopEnvironment.MAX_MOVE));
    Vec3 next = at.plus(step);
    return new float[] {
      (float) step.x(),
      (float) step.y(),
      (float) step.z(),
      turn(TabletopEnvironment.restRoll(next) - state.roll()),
      turn(TabletopEnvironment.restPitch(next) - state.pitch()),
      turn(GAIN * (yaw - state.yaw())),
      gripper
    };
  }

  private static float turn(double angle) {
    return (float) clip(angle, TabletopEnvironment.MAX_TURN);
  }

  private static double clip(double value, double limit) {
    return Math.max(-limit, Math.min(limit, value));
  }
}
