package org.sightline.train;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.TreeMap;

/** The means of what {@link BatchPass} measures, taken apart by the names it gives. */
record MeanValues(Map<String, Double> means) {
  static final String ACTION_LOSS = "action_loss";
  static final String ALIGNMENT_LOSS = "alignment_loss";
  static final String TOTAL_LOSS = "total_loss";
  static final String COSINE = "cosine.";
  static final String METRIC = "metric.";

  double actionLoss() {
    return means.get(ACTION_LOSS);
  }

  OptionalDouble alignmentLoss() {
    Double loss = means.get(ALIGNMENT_LOSS);
    return loss == null ? OptionalDouble.empty() : OptionalDouble.of(loss);
  }

  double totalLoss() {
    return means.get(TOTAL_LOSS);
  }

  Map<Integer, Double> cosine() {
    Map<Integer, Double> cosine = new TreeMap<>();
    withPrefix(COSINE).forEach((layer, value) -> cosine.put(Integer.valueOf(layer), value));
    return cosine;
  }

  Map<String, Double> metrics() {
    return withPrefix(METRIC);
  }

  private Map<String, Double> withPrefix(String prefix) {
    Map<String, Double> found = new LinkedHashMap<>();
    means.forEach(
        (name, value) -> {
          if (name.startsWith(prefix)) {
            found.put(name.substring(prefix.length()), value);
          }
        });
    return found;
  }
}
