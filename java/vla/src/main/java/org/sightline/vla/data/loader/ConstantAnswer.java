package org.sightline.vla.data.loader;

import java.util.List;
import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.rlds.Step;
import org.sightline.vla.data.text.ActionTokenizer;

/**
 * What a model scores that sees nothing and always says, in each dimension, the training data's
 * most frequent token: the accuracy below which nothing was learned.
 *
 * @param tokens by dimension; of equally frequent ones the smallest
 * @param correct how many of the tokens it was tried on they hit
 * @param tried how many those were
 */
public record ConstantAnswer(long[] tokens, long correct, long tried) {
  /**
   * Finds the answer and tries it.
   *
   * @param training at least one action
   * @param heldOut what it is tried on
   */
  static ConstantAnswer of(
      List<float[]> training,
      List<float[]> heldOut,
      ActionStatistics statistics,
      ActionTokenizer actions) {
    long first = actions.firstId();
    int[][] counts = new int[Step.ACTION_SIZE][actions.bins()];
    for (float[] action : training) {
      float[] values = statistics.normalize(action);
      for (int d = 0; d < values.length; d++) {
        counts[d][(int) (actions.encode(values[d]) - first)]++;
      }
    }
    long[] tokens = new long[Step.ACTION_SIZE];
    for (int d = 0; d < tokens.length; d++) {
      int best = 0;
      for (int i = 1; i < counts[d].length; i++) {
        best = counts[d][i] > counts[d][best] ? i : best;
      }
      tokens[d] = first + best;
    }
    long correct = 0;
    for (float[] action : heldOut) {
      float[] values = statistics.normalize(action);
      for (int d = 0; d < values.length; d++) {
        correct += actions.encode(values[d]) == tokens[d] ? 1 : 0;
      }
    }
    return new ConstantAnswer(tokens, correct, (long) heldOut.size() * Step.ACTION_SIZE);
  }

  /** Share of several datasets' tokens that their answers hit. */
  static double accuracy(List<ConstantAnswer> answers) {
    double correct = answers.stream().mapToLong(ConstantAnswer::correct).sum();
    return correct / answers.stream().mapToLong(ConstantAnswer::tried).sum();
  }
}
