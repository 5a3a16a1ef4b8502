package org.sightline.vla.data.loader;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.text.ActionTokenizer;

class ConstantAnswerTest {
  /** Six of ten training values are 1, and three of the four held out; the rest are all 0. */
  @Test
  void theMostFrequentTokenOfEachDimensionIsTried() {
    List<float[]> training = new ArrayList<>();
    for (int i = 0; i < 10; i++) {
      training.add(new float[] {i < 6 ? 1 : -1, 0, 0, 0, 0, 0, i < 4 ? 1 : 0});
    }
    List<float[]> heldOut = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      heldOut.add(new float[] {i < 3 ? 1 : -1, 0, 0, 0, 0, 0, i < 2 ? 1 : 0});
    }
    boolean[] mask = {true, true, true, true, true, true, false};
    ActionStatistics statistics = ActionStatistics.of(training, mask, 1);
    ActionTokenizer actions = new ActionTokenizer(100, 31);
    ConstantAnswer answer = ConstantAnswer.of(training, heldOut, statistics, actions);
    assertEquals(actions.encode(1), answer.tokens()[0]);
    assertEquals(actions.encode(0), answer.tokens()[6]);
    assertEquals(3 + 5 * 4 + 2, answer.correct());
    assertEquals(28, answer.tried());
    assertEquals(25 / 28.0, ConstantAnswer.accuracy(List.of(answer, answer)), 1e-12);
  }
}
