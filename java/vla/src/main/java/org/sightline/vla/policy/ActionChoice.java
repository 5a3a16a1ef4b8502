package org.sightline.vla.policy;

import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.Checks;
import org.sightline.vla.data.image.CounterRandom;
import org.sightline.vla.data.text.ActionTokenizer;
import org.sightline.vla.model.TokenChoice;

/**
 * Action ids alone compete, as in the paper's rollouts: the most likely one, or one drawn. The draw
 * of a row depends on its own seed and logits, not on the rows it shares a batch with.
 *
 * @param actions which ids those are
 * @param temperature that divides the logits before one is drawn; 0: the most likely one is taken
 * @param seeds of the rows' draws
 */
record ActionChoice(ActionTokenizer actions, double temperature, long[] seeds)
    implements TokenChoice {
  ActionChoice {
    Checks.notNegative("temperature", temperature);
  }

  @Override
  public long[] choose(Tensor logits, int position) {
    int ids = actions.bins();
    Tensor scores =
        logits.narrow(1, actions.firstId(), ids).to(ScalarType.Float).cpu().contiguous();
    float[] values = new float[Math.toIntExact(scores.numel())];
    new FloatPointer(scores.data_ptr_float()).get(values);
    long[] chosen = new long[values.length / ids];
    for (int row = 0; row < chosen.length; row++) {
      int id = mostLikely(values, row * ids, ids);
      if (temperature > 0) {
        double uniform = CounterRandom.uniform(seeds[row], position);
        id = drawn(values, row * ids, ids, values[row * ids + id], uniform);
      }
      chosen[row] = actions.firstId() + id;
    }
    return chosen;
  }

  private static int mostLikely(float[] scores, int from, int count) {
    int best = 0;
    for (int i = 1; i < count; i++) {
      best = scores[from + i] > scores[from + best] ? i : best;
    }
    return best;
  }

  /** Where a uniform number falls in the cumulative softmax. */
  private int drawn(float[] scores, int from, int count, double largest, double uniform) {
    double[] cumulative = new double[count];
    double sum = 0;
    for (int i = 0; i < count; i++) {
      sum += Math.exp((scores[from + i] - largest) / temperature);
      cumulative[i] = sum;
    }
    int id = 0;
    while (id < count - 1 && cumulative[id] <= uniform * sum) {
      id++;
    }
    return id;
  }
}
