package org.sightline.train.listener;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Map;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.train.Evaluation;
import org.sightline.train.listener.EarlyStopping.Goal;

class EarlyStoppingTest {
  private static Evaluation evaluation(int step, double loss, double accuracy) {
    return new Evaluation(
        step, 1, loss, OptionalDouble.of(-loss), Map.of(), Map.of("accuracy", accuracy), 1);
  }

  /** The evaluation after which the run ends, counted from 1; 0: never. */
  @ParameterizedTest
  @CsvSource({
    "action_loss,    LOWER,  0, 0,   3;2;2,        3",
    "action_loss,    LOWER,  1, 0,   3;2;2;1;1;1,  6",
    "action_loss,    LOWER,  1, 0.5, 3;2.6;2.6,    3",
    "action_loss,    LOWER,  1, 0.5, 3;2.6;2.4;3,  0",
    "action_loss,    LOWER,  1, 0,   NaN;NaN,      2",
    "action_loss,    LOWER,  1, 0,   3;NaN;2;NaN,  0",
    "action_loss,    LOWER,  0, 0,   3;-Infinity,  2",
    "alignment_loss, HIGHER, 0, 0,   3;2;1;2,      4",
    "accuracy,       HIGHER, 0, 0,   1;2;3;3,      4",
  })
  void endsARunThatGetsNoBetter(
      String metric, Goal goal, int patience, double minDelta, String values, int expected) {
    EarlyStopping stopping = new EarlyStopping(metric, goal, patience, minDelta);
    int ended = 0;
    String[] each = values.split(";");
    for (int i = 1; i <= each.length && ended == 0; i++) {
      // Through a checkpoint every time.
      EarlyStopping resumed = new EarlyStopping(metric, goal, patience, minDelta);
      resumed.restore(stopping.state());
      stopping = resumed;
      assertFalse(stopping.stopRequested());
      double value = Double.parseDouble(each[i - 1]);
      stopping.evaluation(evaluation(10 * i, value, value));
      ended = stopping.stopRequested() ? i : 0;
    }
    assertEquals(expected, ended);
    assertEquals(expected > 0, stopping.reason().isPresent());
  }

  @Test
  void tellsWhyAndWhatWasBest() {
    EarlyStopping stopping = new EarlyStopping("accuracy", Goal.HIGHER, 1, 0);
    stopping.evaluation(evaluation(10, 1, 0.5));
    stopping.evaluation(evaluation(20, 1, 0.4));
    stopping.evaluation(evaluation(30, 1, 0.5));
    assertEquals(
        "accuracy has not got better in 2 evaluations; best 0.5 at step 10",
        stopping.reason().orElseThrow());
    EarlyStopping never = new EarlyStopping("action_loss", Goal.LOWER, 0, 0);
    never.evaluation(evaluation(10, Double.NaN, 0));
    assertEquals(
        "action_loss has not got better in 1 evaluations; it never was finite",
        never.reason().orElseThrow());
  }

  @Test
  void explainsWhatItCannotUse() {
    EarlyStopping unknown = new EarlyStopping("f1", Goal.HIGHER, 1, 0);
    assertEquals(
        "early stopping's metric must be action_loss, alignment_loss or one of [accuracy], found"
            + " f1",
        assertThrows(IllegalArgumentException.class, () -> unknown.evaluation(evaluation(1, 1, 1)))
            .getMessage());
    assertEquals(
        "patience must be at least 0, found -1",
        assertThrows(
                IllegalArgumentException.class,
                () -> new EarlyStopping("action_loss", Goal.LOWER, -1, 0))
            .getMessage());
    assertEquals(
        "minDelta must be finite and at least 0, found -0.5",
        assertThrows(
                IllegalArgumentException.class,
                () -> new EarlyStopping("action_loss", Goal.LOWER, 1, -0.5))
            .getMessage());
  }
}
