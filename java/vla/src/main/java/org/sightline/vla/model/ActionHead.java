package org.sightline.vla.model;

import static org.bytedeco.pytorch.global.torch.cross_entropy_loss;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.Device;
import org.sightline.Finite;
import org.sightline.binding.Scopes;

/** What the decoder says of the next tokens, from its final hidden states [B,S,D]. */
final class ActionHead {
  static final String LOSS = "loss";

  private final LlamaDecoder decoder;
  private final ActionMetrics metrics;
  private final long imageTokens;

  ActionHead(LlamaDecoder decoder, OpenVlaConfig config) {
    this.decoder = decoder;
    metrics = new ActionMetrics(config);
    imageTokens = config.imageTokens();
  }

  /** Scalars by name: the cross entropy in fp32 as {@link #LOSS}, then {@link ActionMetrics}. */
  Map<String, Tensor> scores(Tensor last, Tensor labels) {
    var scores = new LinkedHashMap<String, Tensor>();
    Scopes.scopedAll(
        () -> {
          var supervised = supervised(last, labels);
          Tensor logits = logits(last, supervised);
          scores.put(LOSS, cross_entropy_loss(logits, supervised.targets()));
          scores.putAll(metrics.of(logits, supervised.targets()));
          return List.copyOf(scores.values());
        });
    return scores;
  }

  /** Waits for the result; what is not finite is refused. */
  TokenPredictions predictions(Tensor last, Tensor labels) {
    var supervised = supervised(last, labels);
    Tensor logits = logits(last, supervised);
    return new TokenPredictions(
        cross_entropy_loss(logits, supervised.targets()).item_double(),
        TokenChoice.MOST_LIKELY.choose(finite(logits), 0),
        BatchChecks.values(supervised.targets().cpu()));
  }

  /** Logits [B,V] of the tokens that follow the last position. */
  Tensor next(Tensor last) {
    return decoder.logits(last.select(1, last.size(1) - 1));
  }

  /** Logits [n,V] fp32 of the supervised tokens, row by row of the batch. */
  Tensor logits(Tensor last, Tensor labels) {
    return logits(last, supervised(last, labels));
  }

  private Tensor logits(Tensor last, SupervisedTokens supervised) {
    Tensor all = last.flatten(0, 1);
    Tensor hidden =
        all.is_meta()
            ? MetaForms.rows(all, supervised.rows())
            : all.index_select(0, supervised.rows());
    return decoder.logits(hidden).to(ScalarType.Float);
  }

  private SupervisedTokens supervised(Tensor last, Tensor labels) {
    return SupervisedTokens.of(labels, imageTokens).to(Device.of(last));
  }

  /** Nothing that the model says means anything where this fails. */
  static Tensor finite(Tensor logits) {
    return Finite.require("the model's logits", logits);
  }
}
