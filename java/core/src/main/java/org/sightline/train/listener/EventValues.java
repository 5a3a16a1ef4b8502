package org.sightline.train.listener;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalDouble;
import org.sightline.train.Evaluation;
import org.sightline.train.StepEvent;

/** The values of an event under the names that logs give them, without times. */
final class EventValues {
  private EventValues() {}

  static Map<String, Number> of(StepEvent event) {
    Map<String, Number> values = losses(event.actionLoss(), event.alignmentLoss());
    values.put("total_loss", event.totalLoss());
    event.cosine().forEach((layer, cosine) -> values.put("cosine_" + layer, cosine));
    values.put("grad_norm", event.gradNorm());
    values.put("learning_rate", event.learningRate());
    values.put("skipped_steps", event.skippedSteps());
    values.put("non_finite", event.nonFinite());
    return values;
  }

  static Map<String, Number> of(Evaluation evaluation) {
    Map<String, Number> values = losses(evaluation.actionLoss(), evaluation.alignmentLoss());
    evaluation.cosine().forEach((layer, cosine) -> values.put("cosine_" + layer, cosine));
    return values;
  }

  private static Map<String, Number> losses(double action, OptionalDouble alignment) {
    Map<String, Number> values = new LinkedHashMap<>();
    values.put("action_loss", action);
    alignment.ifPresent(loss -> values.put("alignment_loss", loss));
    return values;
  }
}
