package org.sightline.vla.data.rlds;

import java.util.Arrays;
import java.util.List;

/**
 * Statistics of a dataset's actions, and the normalisation they define.
 *
 * <p>Where the mask is set, {@link #normalize} maps the 1 %–99 % range to [-1,1] and clips: {@code
 * clip(2(x − q01)/(q99 − q01 + 1e-8) − 1, −1, 1)}. Elsewhere (the gripper) values pass through.
 * Dimensions that never change become 0. {@link #denormalize} is the inverse: {@code 0.5(a + 1)(q99
 * − q01) + q01}.
 *
 * <p>Compute them on the training split alone: the reference implementation takes the quantiles of
 * all episodes, evaluation included, which leaks.
 *
 * @param mean per dimension
 * @param std population standard deviation
 * @param min smallest value
 * @param max largest value
 * @param q01 1 % quantile, linear interpolation as numpy's default
 * @param q99 99 % quantile
 * @param mask whether a dimension is normalised; false for the gripper
 * @param transitions number of steps they were computed from
 * @param trajectories number of episodes they were computed from
 */
public record ActionStatistics(
    double[] mean,
    double[] std,
    double[] min,
    double[] max,
    double[] q01,
    double[] q99,
    boolean[] mask,
    long transitions,
    long trajectories) {

  public ActionStatistics {
    int size = mean.length;
    if (size == 0) {
      throw new IllegalArgumentException("mean: found no values, expected one per dimension");
    }
    check("mean", mean, size);
    check("std", std, size);
    check("min", min, size);
    check("max", max, size);
    check("q01", q01, size);
    check("q99", q99, size);
    if (mask.length != size) {
      throw new IllegalArgumentException(
          "mask: found " + mask.length + " values, expected " + size);
    }
    for (int i = 0; i < size; i++) {
      if (q01[i] > q99[i] || min[i] > max[i]) {
        throw new IllegalArgumentException(
            ("dimension %s: found q01 %s, q99 %s, min %s, max %s, expected q01 <= q99 and min"
                    + " <= max")
                .formatted(i, q01[i], q99[i], min[i], max[i]));
      }
    }
  }

  private static void check(String name, double[] values, int size) {
    if (values.length != size) {
      throw new IllegalArgumentException(
          name + ": found " + values.length + " values, expected " + size);
    }
    for (int i = 0; i < size; i++) {
      if (!Double.isFinite(values[i])) {
        throw new IllegalArgumentException(
            name + "[" + i + "]: found " + values[i] + ", expected a finite number");
      }
    }
  }

  /** Number of action dimensions. */
  public int size() {
    return mean.length;
  }

  /**
   * Computes the statistics of a list of actions.
   *
   * @param actions at least one, of equal length, finite
   * @param mask which dimensions are normalised
   * @param trajectories number of episodes they come from, only recorded
   */
  public static ActionStatistics of(List<float[]> actions, boolean[] mask, long trajectories) {
    if (actions.isEmpty()) {
      throw new IllegalArgumentException("actions: found none, expected at least one step");
    }
    int count = actions.size();
    int size = mask.length;
    double[][] result = new double[6][size];
    for (int d = 0; d < size; d++) {
      double[] column = new double[count];
      double sum = 0;
      for (int i = 0; i < count; i++) {
        column[i] = actions.get(i)[d];
        sum += column[i];
      }
      double mean = sum / count;
      double squares = 0;
      for (double value : column) {
        squares += (value - mean) * (value - mean);
      }
      Arrays.sort(column);
      result[0][d] = mean;
      result[1][d] = Math.sqrt(squares / count);
      result[2][d] = column[0];
      result[3][d] = column[count - 1];
      result[4][d] = quantile(column, 0.01);
      result[5][d] = quantile(column, 0.99);
    }
    return new ActionStatistics(
        result[0],
        result[1],
        result[2],
        result[3],
        result[4],
        result[5],
        mask.clone(),
        count,
        trajectories);
  }

  /** Quantile with linear interpolation between order statistics, numpy's default method. */
  static double quantile(double[] sorted, double q) {
    double position = q * (sorted.length - 1);
    int below = (int) Math.floor(position);
    int above = Math.min(below + 1, sorted.length - 1);
    double fraction = position - below;
    double difference = sorted[above] - sorted[below];
    // As numpy's lerp: from the nearer end, so that both ends are met exactly.
    return fraction < 0.5
        ? sorted[below] + difference * fraction
        : sorted[above] - difference * (1 - fraction);
  }

  /** Maps an action to the range that the tokenizer bins. */
  public float[] normalize(float[] action) {
    checkSize(action);
    float[] normalized = new float[action.length];
    for (int i = 0; i < action.length; i++) {
      if (min[i] == max[i]) {
        continue;
      }
      double scaled = 2 * (action[i] - q01[i]) / (q99[i] - q01[i] + 1e-8) - 1;
      normalized[i] = mask[i] ? (float) Math.max(-1, Math.min(1, scaled)) : action[i];
    }
    return normalized;
  }

  /**
   * The action behind normalised values. A dimension that never changed gives its one value back
   * (also a masked one, where the reference implementation would return the 0 it was mapped to).
   */
  public float[] denormalize(float[] normalized) {
    checkSize(normalized);
    float[] action = new float[normalized.length];
    for (int i = 0; i < action.length; i++) {
      if (min[i] == max[i]) {
        action[i] = (float) min[i];
      } else if (mask[i]) {
        action[i] = (float) (0.5 * (normalized[i] + 1) * (q99[i] - q01[i]) + q01[i]);
      } else {
        action[i] = normalized[i];
      }
    }
    return action;
  }

  private void checkSize(float[] action) {
    if (action.length != size()) {
      throw new IllegalArgumentException(
          "action: found " + action.length + " values, expected " + size());
    }
  }
}
