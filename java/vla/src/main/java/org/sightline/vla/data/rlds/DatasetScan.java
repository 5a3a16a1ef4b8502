package org.sightline.vla.data.rlds;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import java.util.zip.CRC32C;
import org.sightline.formats.file.Sha256;
import org.sightline.formats.tfrecord.CorruptRecordException;

/**
 * One pass over a dataset: how many steps each episode has, all actions, and a digest of what there
 * is to learn from. What the dataset {@linkplain LeftOut leaves out} counts as no step.
 */
public final class DatasetScan {
  private final float[][][] actions; // [episode][step][dimension]

  private final String digest;

  private DatasetScan(float[][][] actions, String digest) {
    this.actions = actions;
    this.digest = digest;
  }

  /** Reads all episodes. */
  public static DatasetScan of(RldsDataset dataset) throws IOException {
    float[][][] actions = new float[dataset.size()][0][];
    MessageDigest digest = Sha256.begin();
    try (EpisodeReader reader = dataset.reader()) {
      for (int episode = 0; episode < dataset.size(); episode++) {
        try {
          Episode all = reader.read(episode);
          List<Step> steps = dataset.labelled(all);
          for (Step step : steps) {
            requireFinite(step, dataset.keys().action());
          }
          digest.update(content(episode, steps));
          actions[episode] = steps.stream().map(Step::action).toArray(float[][]::new);
          dataset.leftOut().scanned(episode, all.steps().size(), steps.size());
        } catch (CorruptRecordException e) {
          dataset.leftOut().record(e);
        }
      }
    }
    return new DatasetScan(actions, Sha256.hex(digest));
  }

  /** A checksum runs as fast as memory; all images through SHA-256 would make the scan slower. */
  private static ByteBuffer content(int episode, List<Step> steps) {
    CRC32C checksum = new CRC32C();
    ByteBuffer numbers = ByteBuffer.allocate(4 * Step.ACTION_SIZE);
    for (Step step : steps) {
      checksum.update(step.image());
      checksum.update(step.instruction().getBytes(StandardCharsets.UTF_8));
      numbers.clear().asFloatBuffer().put(step.action());
      checksum.update(numbers);
    }
    return ByteBuffer.allocate(16)
        .putInt(episode)
        .putInt(steps.size())
        .putLong(checksum.getValue())
        .flip();
  }

  private static void requireFinite(Step step, String key) throws CorruptRecordException {
    for (int i = 0; i < step.action().length; i++) {
      if (!Float.isFinite(step.action()[i])) {
        Step.Origin origin = step.origin();
        throw new CorruptRecordException(
            origin.file(),
            origin.record(),
            origin.offset(),
            ", step %s, key '%s', dimension %s: found %s, expected a finite number"
                .formatted(origin.step(), key, i, step.action()[i]));
      }
    }
  }

  /** The episodes that have steps: what is divided, trained on and counted. */
  public int[] usable() {
    return IntStream.range(0, actions.length).filter(e -> actions[e].length > 0).toArray();
  }

  /** Tells data apart by the images, instructions and actions of every step, wherever they lie. */
  public String digest() {
    return digest;
  }

  /** Numbers of steps of the given episodes. */
  public int[] steps(int[] episodes) {
    return Arrays.stream(episodes).map(episode -> actions[episode].length).toArray();
  }

  /** All actions of the given episodes. */
  public List<float[]> actions(int[] episodes) {
    List<float[]> all = new ArrayList<>();
    for (int episode : episodes) {
      all.addAll(Arrays.asList(actions[episode]));
    }
    return all;
  }

  /**
   * Action statistics of the given episodes; the last dimension is the gripper.
   *
   * @throws IllegalArgumentException if there is no step in them
   */
  public ActionStatistics statistics(int[] episodes) {
    List<float[]> all = actions(episodes);
    int trajectories = 0;
    for (int episode : episodes) {
      trajectories += actions[episode].length > 0 ? 1 : 0;
    }
    boolean[] mask = new boolean[Step.ACTION_SIZE];
    Arrays.fill(mask, 0, Step.ACTION_SIZE - 1, true);
    return ActionStatistics.of(all, mask, trajectories);
  }
}
