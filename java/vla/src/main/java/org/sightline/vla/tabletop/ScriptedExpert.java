package org.sightline.vla.tabletop;

/**
 * Solves a scene: reach above the object, turn, lower, close, lift, carry, lower, open, retreat.
 * The action is a function of the visible state alone, not of a hidden phase, so a policy that sees
 * the image can learn it. Noise-free; motions are straight and clipped to what the robot can do.
 */
public final class ScriptedExpert {
  private static final double HOVER = 0.115;
  private static final double CARRY = 0.135;
  private static final double RETREAT = 0.14;

  /** How near the gripper must be before it lowers: metres, then radians. */
  private static final double NEAR = 0.004;

  private static final double TURNED = 0.03;

  private ScriptedExpert() {}

  /** Whether the task is done and the gripper has retreated. */
  public static boolean isDone(TabletopEnvironment state) {
    return state.isSuccess() && state.position().z() > RETREAT - NEAR;
  }

  /** The next action, 7 floats as {@link TabletopEnvironment#step} takes them. */
  public static float[] act(TabletopEnvironment state) {
    Vec3 at = state.position();
    TabletopEnvironment.Pose item = state.item(state.scene().item());
    ObjectKind kind = state.scene().items().get(state.scene().item()).kind();
    if (state.held() >= 0) {
      Scene.Receptacle target = state.scene().target();
      double place = target.kind().surface() + kind.halfHeight() + 0.006;
      boolean above = Math.hypot(target.x() - at.x(), target.y() - at.y()) < NEAR;
      if (above && at.z() < place + NEAR) {
        return move(state, at, state.yaw(), 1);
      }
      if (above) {
        return move(state, new Vec3(target.x(), target.y(), place), state.yaw(), 0);
      }
      // Clear of the table before it travels, so that nothing is swept along.
      boolean clear = at.z() > CARRY - 0.05;
      return clear
          ? move(state, new Vec3(target.x(), target.y(), CARRY), 0, 0)
          : move(state, new Vec3(at.x(), at.y(), CARRY), state.yaw(), 0);
    }
    if (state.isPlaced()) {
      boolean open = state.opening() > 0.99;
      return move(state, open ? new Vec3(at.x(), at.y(), RETREAT) : at, state.yaw(), 1);
    }
    double turn = kind.canonicalYaw(item.yaw() - state.yaw());
    double yaw = kind.symmetry() == 0 ? 0 : state.yaw() + turn;
    boolean above =
        Math.hypot(item.x() - at.x(), item.y() - at.y()) < NEAR
            && Math.abs(yaw - state.yaw()) < TURNED;
    if (above && Math.abs(at.z() - item.z()) < NEAR) {
      return move(state, at, state.yaw(), 0);
    }
    return move(state, new Vec3(item.x(), item.y(), above ? item.z() : HOVER), yaw, 1);
  }

  /** The clipped delta towards a pose; the wrist leans with the arm. */
  private static float[] move(TabletopEnvironment state, Vec3 to, double yaw, int gripper) {
    Vec3 delta = to.minus(state.position());
    double horizontal = Math.hypot(delta.x(), delta.y());
    double scale = Math.min(1, TabletopEnvironment.MAX_MOVE / Math.max(horizontal, 1e-12));
    Vec3 step = new Vec3(delta.x() * scale, delta.y() * scale, clip(delta.z()));
    Vec3 next = state.position().plus(step);
    double turn = yaw - state.yaw();
    return new float[] {
      (float) step.x(),
      (float) step.y(),
      (float) step.z(),
      (float) (TabletopEnvironment.restRoll(next) - state.roll()),
      (float) (TabletopEnvironment.restPitch(next) - state.pitch()),
      (float) Math.max(-TabletopEnvironment.MAX_TURN, Math.min(TabletopEnvironment.MAX_TURN, turn)),
      gripper
    };
  }

  private static double clip(double value) {
    return Math.max(-TabletopEnvironment.MAX_MOVE, Math.min(TabletopEnvironment.MAX_MOVE, value));
  }
}
