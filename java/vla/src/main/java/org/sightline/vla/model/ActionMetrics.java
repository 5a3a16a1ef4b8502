package org.sightline.vla.model;

import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.binding.Scopes;

/**
 * What the paper's training script reports of the action tokens, as scalars that stay on the
 * device: nothing here waits for the result.
 *
 * <ul>
 *   <li>{@code token_accuracy}: share of action tokens whose most likely id, over the whole
 *       vocabulary, is the label;
 *   <li>{@code action_l1}: mean |decoded prediction − decoded label| in the normalised action space
 *       [-1,1].
 * </ul>
 *
 * <p>Only labels among the action ids count (the end of sequence does not). An id decodes to the
 * centre of its bin: with E edges evenly on [-1,1] there are E − 1 centres −1 + (2j + 1)/(E − 1),
 * and id = end − 1 − j for j in 0..E−2, any other id going to the nearer end, as in OpenVLA's
 * {@code ActionTokenizer}.
 */
record ActionMetrics(long end, long bins) {
  ActionMetrics(OpenVlaConfig config) {
    this(config.actionTokenEnd(), config.actionBins());
  }

  /** Metrics of logits [n,V] against labels [n]. */
  Map<String, Tensor> of(Tensor logits, Tensor targets) {
    return Scopes.withoutGradient(() -> compute(logits, targets));
  }

  private Map<String, Tensor> compute(Tensor logits, Tensor targets) {
    var metrics = new LinkedHashMap<String, Tensor>();
    Tensor predicted = logits.argmax(new LongOptional(1), false);
    // The script's mask is "id > begin − 1"; ids past the action ids (padding) are not actions.
    Tensor isAction = targets.ge(new Scalar(end - bins)).bitwise_and(targets.lt(new Scalar(end)));
    Tensor count = isAction.sum().clamp(new ScalarOptional(new Scalar(1L)), new ScalarOptional());
    Tensor correct = predicted.eq(targets).bitwise_and(isAction).sum();
    Tensor difference = decode(predicted).sub(decode(targets));
    // Of the two forms of |x| the one that needs no memory, see MetaForms.
    Tensor distance = difference.maximum(difference.neg()).mul(isAction).sum();
    metrics.put("token_accuracy", correct.div(count));
    metrics.put("action_l1", distance.div(count));
    return metrics;
  }

  private Tensor decode(Tensor ids) {
    Tensor bin =
        ids.neg()
            .add(new Scalar(end - 1))
            .clamp(new ScalarOptional(new Scalar(0L)), new ScalarOptional(new Scalar(bins - 2)));
    double width = 2.0 / (bins - 1);
    return bin.to(ScalarType.Float).mul(new Scalar(width)).add(new Scalar(-1 + width / 2));
  }
}
