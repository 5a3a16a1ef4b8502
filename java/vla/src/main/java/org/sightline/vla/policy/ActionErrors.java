package org.sightline.vla.policy;

import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.rlds.Step;
import org.sightline.vla.data.text.ActionTokenizer;
import org.sightline.vla.model.TokenPredictions;

/** Sums over predictions: loss, token accuracy, and L1 per action dimension. */
public final class ActionErrors {
  private final ActionTokenizer actions;
  private final ActionStatistics statistics;
  private final double[] l1 = new double[Step.ACTION_SIZE];
  private final double[] l1InUnits = new double[Step.ACTION_SIZE];
  private double loss;
  private long tokens;
  private long actionTokens;
  private long correct;
  private long noActions;

  public ActionErrors(ActionTokenizer actions, ActionStatistics statistics) {
    this.actions = actions;
    this.statistics = statistics;
  }

  /** Adds a batch, each row of which is supervised on the tokens of one action and EOS. */
  public void add(TokenPredictions predictions) {
    long[] labels = predictions.labels();
    loss += predictions.loss() * labels.length;
    tokens += labels.length;
    float[] said = new float[Step.ACTION_SIZE];
    float[] meant = new float[Step.ACTION_SIZE];
    int dimension = 0;
    for (int i = 0; i < labels.length; i++) {
      if (!actions.isAction(labels[i])) {
        continue;
      }
      actionTokens++;
      correct += predictions.predicted()[i] == labels[i] ? 1 : 0;
      noActions += actions.isAction(predictions.predicted()[i]) ? 0 : 1;
      said[dimension] = (float) actions.decode(predictions.predicted()[i]);
      meant[dimension] = (float) actions.decode(labels[i]);
      if (++dimension == Step.ACTION_SIZE) {
        addAction(said, meant);
        dimension = 0;
      }
    }
    if (dimension != 0) {
      throw new IllegalArgumentException(
          "predictions must hold whole actions of %d tokens, found %d tokens"
              .formatted(Step.ACTION_SIZE, actionTokens));
    }
  }

  private void addAction(float[] said, float[] meant) {
    float[] saidInUnits = statistics.denormalize(said);
    float[] meantInUnits = statistics.denormalize(meant);
    for (int d = 0; d < Step.ACTION_SIZE; d++) {
      l1[d] += Math.abs(said[d] - meant[d]);
      l1InUnits[d] += Math.abs(saidInUnits[d] - meantInUnits[d]);
    }
  }

  public long steps() {
    return actionTokens / Step.ACTION_SIZE;
  }

  /** Mean cross entropy of all supervised tokens, EOS included. */
  public double loss() {
    return loss / tokens;
  }

  /** Share of the action tokens that were said exactly. */
  public double tokenAccuracy() {
    return (double) correct / actionTokens;
  }

  /** How many tokens were said in an action's place that are none; they count as an end. */
  public long noActions() {
    return noActions;
  }

  public long actionTokens() {
    return actionTokens;
  }

  /** Mean |said − meant| in the normalised space [-1,1], of one dimension. */
  public double l1(int dimension) {
    return l1[dimension] / steps();
  }

  /** Mean |said − meant| in metres, radians or gripper opening, of one dimension. */
  public double l1InUnits(int dimension) {
    return l1InUnits[dimension] / steps();
  }

  /** Mean over the dimensions of {@link #l1}: the training script's {@code action_l1}. */
  public double meanL1() {
    double sum = 0;
    for (int d = 0; d < Step.ACTION_SIZE; d++) {
      sum += l1(d);
    }
    return sum / Step.ACTION_SIZE;
  }
}
