package org.sightline.study.task;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.sightline.vla.tabletop.Scene;

/**
 * The environments that a policy is put into: its training's, thirteen out of distribution (arXiv
 * 2510.25616, table 1) and eight of boards (VL-Think, table 2), in the order of the paper's tables.
 */
public enum Task {
  IN_DISTRIBUTION(Axis.IN_DISTRIBUTION, "Train"),
  CARROT(Axis.SEMANTICS, "Carrot"),
  INSTRUCT(Axis.SEMANTICS, "Instruct"),
  MULTI_CARROT(Axis.SEMANTICS, "MultiCarrot"),
  MULTI_PLATE(Axis.SEMANTICS, "MultiPlate"),
  PLATE(Axis.SEMANTICS, "Plate"),
  VISION_IMAGE(Axis.VISION, "VisionImage"),
  VISION_TEXTURE_03(Axis.VISION, "VisionTexture03"),
  VISION_TEXTURE_05(Axis.VISION, "VisionTexture05"),
  VISION_WHOLE_03(Axis.VISION, "VisionWhole03"),
  VISION_WHOLE_05(Axis.VISION, "VisionWhole05"),
  POSITION(Axis.EXECUTION, "Position"),
  EE_POSE(Axis.EXECUTION, "EEPose"),
  POSITION_CHANGE_TO(Axis.EXECUTION, "PositionChangeTo"),
  ARROW(Axis.BOARDS, "Arrow"),
  COLOR(Axis.BOARDS, "Color"),
  LAUNDRY(Axis.BOARDS, "Laundry"),
  PARITY(Axis.BOARDS, "Parity"),
  PUBLIC_INFO(Axis.BOARDS, "PublicInfo"),
  SHAPE(Axis.BOARDS, "Shape"),
  TRAFFIC(Axis.BOARDS, "Traffic"),
  WEATHER(Axis.BOARDS, "Weather");

  private final Axis axis;
  private final String label;

  Task(Axis axis, String label) {
    this.axis = axis;
    this.label = label;
  }

  /** What it tests. */
  public Axis axis() {
    return axis;
  }

  /** Its name in the paper's tables. */
  public String label() {
    return label;
  }

  /** The tasks of some axes, in order. */
  public static List<Task> of(Axis... axes) {
    return Arrays.stream(values()).filter(t -> List.of(axes).contains(t.axis)).toList();
  }

  /**
   * The tasks of a comma-separated list of names: of tasks, of {@link Axis axes}, {@code ood} for
   * the thirteen, {@code all}.
   *
   * @throws IllegalArgumentException if a name is none of these
   */
  public static List<Task> parse(String names) {
    return Arrays.stream(names.split(","))
        .flatMap(n -> named(n.trim()).stream())
        .distinct()
        .toList();
  }

  private static List<Task> named(String name) {
    String constant = name.toUpperCase(Locale.ROOT).replace('-', '_');
    if (constant.equals("ALL")) {
      return List.of(values());
    }
    if (constant.equals("OOD")) {
      return of(Axis.SEMANTICS, Axis.VISION, Axis.EXECUTION);
    }
    List<Task> found =
        Arrays.stream(values())
            .filter(
                t ->
                    t.name().equals(constant)
                        || t.axis.name().equals(constant)
                        || t.label.equalsIgnoreCase(name))
            .toList();
    if (found.isEmpty()) {
      throw new IllegalArgumentException(
          "tasks must be of all, ood, %s, %s, found \"%s\""
              .formatted(
                  String.join(", ", Arrays.stream(Axis.values()).map(Task::lower).toList()),
                  String.join(", ", Arrays.stream(values()).map(Task::lower).toList()),
                  name));
    }
    return found;
  }

  private static String lower(Enum<?> constant) {
    return constant.name().toLowerCase(Locale.ROOT);
  }

  /**
   * A scene of the task. The same seed gives the same scene, and all tasks but those of boards
   * differ from {@link NarrowScenes#of} of that seed in what they test alone.
   *
   * @param pictures of boards
   */
  public Scene scene(long seed, Pictures pictures) {
    return axis == Axis.BOARDS
        ? BoardScenes.of(this, seed, pictures)
        : SceneModifiers.apply(this, NarrowScenes.of(seed), seed);
  }
}
