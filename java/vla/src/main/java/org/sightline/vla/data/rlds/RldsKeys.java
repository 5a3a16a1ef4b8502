package org.sightline.vla.data.rlds;

import static java.util.Objects.requireNonNull;

/**
 * Where a dataset keeps what a VLA needs, as keys of its records.
 *
 * @param image the camera, e.g. {@code steps/observation/image_0}
 * @param action [7] floats a step
 * @param state floats a step; may be absent from the dataset
 * @param instruction UTF-8 text a step
 */
public record RldsKeys(String image, String action, String state, String instruction) {
  /** The keys of BridgeData V2 in RLDS form, and of the embedded tabletop data. */
  public static final RldsKeys BRIDGE =
      new RldsKeys(
          "steps/observation/image_0",
          "steps/action",
          "steps/observation/state",
          "steps/language_instruction");

  public RldsKeys {
    requireNonNull(image, "image");
    requireNonNull(action, "action");
    requireNonNull(state, "state");
    requireNonNull(instruction, "instruction");
  }

  /**
   * The same keys with another camera.
   *
   * @param camera a full key, or a name below {@code steps/observation/}
   */
  public RldsKeys withCamera(String camera) {
    String key = camera.contains("/") ? camera : "steps/observation/" + camera;
    return new RldsKeys(key, action, state, instruction);
  }
}
