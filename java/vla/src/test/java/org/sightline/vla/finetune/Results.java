package org.sightline.vla.finetune;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.sightline.train.Mode;
import org.sightline.vla.finetune.RunHistory.Row;

/** Results of runs that never were, for what is made of them. */
public final class Results {
  private Results() {}

  /** Of all modes, evaluated before the first step and after the last. */
  public static List<ModeResult> of(int steps) {
    List<ModeResult> results = new ArrayList<>();
    for (Mode mode : Mode.values()) {
      double bias = mode.ordinal() / 7.0;
      List<Row> training = new ArrayList<>();
      List<Row> timing = new ArrayList<>();
      for (int step = 1; step <= steps; step++) {
        Map<String, Double> values = new LinkedHashMap<>();
        values.put("action_loss", bias + 8.0 / step);
        values.put("grad_norm", 1.0 + bias);
        values.put("learning_rate", 0.002 / step);
        training.add(new Row(step, values));
        timing.add(new Row(step, Map.of("seconds_per_step", 0.1 + bias)));
      }
      results.add(
          new ModeResult(
              mode,
              new ModeResult.Summary("completed", steps, 0, 1.0 / 3, null),
              new RunHistory(
                  training, List.of(evaluation(0, bias), evaluation(steps, bias)), timing)));
    }
    return results;
  }

  private static Row evaluation(int step, double bias) {
    Map<String, Double> values = new LinkedHashMap<>();
    values.put("action_loss", 7.9415079585292885 / (step + 1) + bias);
    values.put("cosine_2", 0.123456789);
    values.put("token_accuracy", 1.0 / 3);
    values.put("action_l1", 2.0 / 3);
    return new Row(step, values);
  }
}
