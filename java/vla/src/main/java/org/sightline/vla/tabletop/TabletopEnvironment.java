package org.sightline.vla.tabletop;

import java.util.ArrayList;
import java.util.List;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.data.rlds.Step;

/**
 * A kinematic robot at a table. An action moves the gripper by a clipped delta and opens or closes
 * it within the step; fingers that close around an object hold it, and an object let go drops onto
 * what is below. There is no dynamics and no collision: the point is data that can be learnt from
 * image and instruction, made in seconds anywhere.
 *
 * <p>An action is 7 floats as in BridgeData: Δx, Δy, Δz in metres, Δroll, Δpitch, Δyaw in radians,
 * gripper (0 close, 1 open), at 5 Hz. Deterministic; not thread-safe.
 */
public final class TabletopEnvironment {
  /** Largest step per axis in metres. */
  public static final double MAX_MOVE = 0.05;

  /** Largest turn per axis in radians. */
  public static final double MAX_TURN = 0.35;

  /** Opening of the gripper in metres when it is fully open. */
  static final double MAX_OPENING = 0.08;

  /** How precisely the gripper must be placed to grasp: metres, then radians. */
  private static final double GRASP_DISTANCE = 0.025;

  private static final double GRASP_ANGLE = 0.5;

  /** Where an object is now: its centre and yaw. */
  public record Pose(double x, double y, double z, double yaw) {}

  private final Scene scene;
  private final List<Pose> items = new ArrayList<>();
  private Vec3 position;
  private double roll;
  private double pitch;
  private double yaw;
  private double opening = 1;
  private int held = -1;
  private int steps;
  private Backdrop backdrop; // of the last picture

  /** The start of a scene, gripper open. */
  public TabletopEnvironment(Scene scene) {
    this.scene = scene;
    this.position = scene.gripper().position();
    this.roll = scene.gripper().roll();
    this.pitch = scene.gripper().pitch();
    this.yaw = scene.gripper().yaw();
    for (Scene.Item item : scene.items()) {
      items.add(
          new Pose(
              item.x(), item.y(), item.kind().halfHeight(), item.kind().canonicalYaw(item.yaw())));
    }
  }

  /** The same moment, which then goes its own way. */
  public TabletopEnvironment copy() {
    TabletopEnvironment copy = new TabletopEnvironment(scene);
    copy.items.clear();
    copy.items.addAll(items);
    copy.position = position;
    copy.roll = roll;
    copy.pitch = pitch;
    copy.yaw = yaw;
    copy.opening = opening;
    copy.held = held;
    copy.steps = steps;
    copy.backdrop = backdrop;
    return copy;
  }

  /** The scene it started from. */
  public Scene scene() {
    return scene;
  }

  /** The robot state as in BridgeData: x, y, z, roll, pitch, yaw, opening of the gripper (0–1). */
  public float[] state() {
    return new float[] {
      (float) position.x(),
      (float) position.y(),
      (float) position.z(),
      (float) roll,
      (float) pitch,
      (float) yaw,
      (float) opening
    };
  }

  /** The camera image, square. */
  public RgbImage render(int size) {
    return view(size).image();
  }

  /** The camera image, square, and what is where in it. */
  public View view(int size) {
    if (backdrop == null || backdrop.camera().size() != size) {
      backdrop = new Backdrop(scene.look(), size);
    }
    View view = Renderer.render(backdrop, SceneModel.groups(this));
    return scene.overlay() == null ? view : scene.overlay().on(view);
  }

  /**
   * Applies an action, each delta clipped to {@link #MAX_MOVE} and {@link #MAX_TURN}.
   *
   * @param action 7 finite values; a gripper value of at least 0.5 opens
   */
  public void step(float[] action) {
    if (action.length != Step.ACTION_SIZE) {
      throw new IllegalArgumentException(
          "action: found " + action.length + " values, expected " + Step.ACTION_SIZE);
    }
    for (int i = 0; i < action.length; i++) {
      if (!Float.isFinite(action[i])) {
        throw new IllegalArgumentException(
            "action[" + i + "]: found " + action[i] + ", expected a finite number");
      }
    }
    Scene.Jump jump = scene.jump();
    if (jump != null && jump.step() == steps) {
      Pose pose = items.get(scene.item());
      double z = scene.items().get(scene.item()).kind().halfHeight();
      items.set(scene.item(), new Pose(jump.x(), jump.y(), z, pose.yaw()));
      held = held == scene.item() ? -1 : held;
    }
    steps++;
    double before = yaw;
    position =
        new Vec3(
            position.x() + clip(action[0], MAX_MOVE),
            position.y() + clip(action[1], MAX_MOVE),
            Math.max(lowest(), position.z() + clip(action[2], MAX_MOVE)));
    roll += clip(action[3], MAX_TURN);
    pitch += clip(action[4], MAX_TURN);
    yaw += clip(action[5], MAX_TURN);
    if (held >= 0) {
      Pose pose = items.get(held);
      items.set(
          held, new Pose(position.x(), position.y(), position.z(), pose.yaw() + yaw - before));
    }
    if (action[6] >= 0.5f) {
      open();
    } else {
      close();
    }
  }

  /** Whether the instructed object rests on the instructed receptacle and the gripper let go. */
  public boolean isSuccess() {
    return held < 0 && opening > 0.99 && isPlaced();
  }

  /** Whether the instructed object rests on the instructed receptacle. */
  boolean isPlaced() {
    return restsOn() == scene.receptacle();
  }

  /** Index of the receptacle that the instructed object rests on; -1: held, or on none. */
  public int restsOn() {
    return held == scene.item() ? -1 : supporting(items.get(scene.item()));
  }

  /** Where the gripper grasps, in metres. */
  public Vec3 position() {
    return position;
  }

  double yaw() {
    return yaw;
  }

  double roll() {
    return roll;
  }

  double pitch() {
    return pitch;
  }

  double opening() {
    return opening;
  }

  /** Index of the item in the hand; -1: none. */
  public int held() {
    return held;
  }

  /** Where an item is now. */
  public Pose item(int index) {
    return items.get(index);
  }

  /** The wrist leans with the arm: roll that goes with a position. */
  static double restRoll(Vec3 position) {
    return -0.6 * position.y();
  }

  /** The wrist leans with the arm: pitch that goes with a position. */
  static double restPitch(Vec3 position) {
    return 0.8 * (position.x() - 0.29);
  }

  /** The table stops the gripper, or what it holds. */
  private double lowest() {
    return held < 0 ? 0.008 : scene.items().get(held).kind().halfHeight();
  }

  private void open() {
    opening = 1;
    if (held >= 0) {
      Pose pose = items.get(held);
      int below = supporting(pose);
      double surface = below < 0 ? 0 : scene.receptacles().get(below).kind().surface();
      double z = surface + scene.items().get(held).kind().halfHeight();
      items.set(held, new Pose(pose.x(), pose.y(), z, pose.yaw()));
      held = -1;
    }
  }

  private void close() {
    if (held < 0 && opening == 1) {
      held = graspable();
    }
    opening = held < 0 ? 0 : width(held);
  }

  /** The object between the fingers, or -1. */
  private int graspable() {
    for (int i = 0; i < items.size(); i++) {
      Pose pose = items.get(i);
      ObjectKind kind = scene.items().get(i).kind();
      boolean near =
          StrictMath.hypot(pose.x() - position.x(), pose.y() - position.y()) < GRASP_DISTANCE
              && Math.abs(pose.z() - position.z()) < GRASP_DISTANCE;
      if (near && Math.abs(kind.canonicalYaw(pose.yaw() - yaw)) < GRASP_ANGLE) {
        return i;
      }
    }
    return -1;
  }

  private double width(int item) {
    return scene.items().get(item).kind().width() / MAX_OPENING;
  }

  /** The nearest receptacle among those whose radius reaches so far; -1: the table. */
  private int supporting(Pose pose) {
    int nearest = -1;
    double least = Double.POSITIVE_INFINITY;
    for (int i = 0; i < scene.receptacles().size(); i++) {
      Scene.Receptacle receptacle = scene.receptacles().get(i);
      double distance = StrictMath.hypot(pose.x() - receptacle.x(), pose.y() - receptacle.y());
      if (distance < Math.min(least, receptacle.kind().radius())) {
        nearest = i;
        least = distance;
      }
    }
    return nearest;
  }

  private static double clip(double value, double limit) {
    return Math.max(-limit, Math.min(limit, value));
  }
}
