package org.sightline.vla.data.rlds;

import java.nio.file.Path;
import java.util.List;

/**
 * One step of a robot episode: what the robot saw and what it then did. Arrays are not copied.
 *
 * @param origin where it was read from, for messages
 * @param image the encoded camera image (JPEG or PNG bytes)
 * @param action [7]: Δxyz in metres, Δeuler in radians, gripper (0 closed, 1 open); not normalised
 * @param state the robot state as the dataset has it; empty where it has none
 * @param instruction the task in words
 * @param isFirst first step of its episode
 * @param isLast last step of its episode
 * @param isTerminal the episode ended here by itself, not by a time limit
 * @param reward reward received after the action
 * @param discount discount, 1 unless the dataset says otherwise
 */
public record Step(
    Origin origin,
    byte[] image,
    float[] action,
    float[] state,
    String instruction,
    boolean isFirst,
    boolean isLast,
    boolean isTerminal,
    float reward,
    float discount) {
  /** Dimensions of an action: Δxyz, Δeuler, gripper. */
  public static final int ACTION_SIZE = 7;

  /** Names of the dimensions, in their order. */
  public static final List<String> ACTION_NAMES =
      List.of("x", "y", "z", "roll", "pitch", "yaw", "gripper");

  /**
   * A place in a dataset.
   *
   * @param file the shard
   * @param record the episode's record in it
   * @param offset the byte offset of that record
   * @param step the step in the episode
   */
  public record Origin(Path file, long record, long offset, int step) {
    @Override
    public String toString() {
      return file + ": record " + record + " at byte offset " + offset + ", step " + step;
    }
  }
}
