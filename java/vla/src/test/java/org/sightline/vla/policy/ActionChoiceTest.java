package org.sightline.vla.policy;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Arrays;
import java.util.Random;
import java.util.stream.LongStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.sightline.Sightline;
import org.sightline.vla.data.text.ActionTokenizer;

class ActionChoiceTest {
  private static final ActionTokenizer ACTIONS = new ActionTokenizer(20, 4);
  private static final int VOCABULARY = 24;

  static {
    Sightline.load();
  }

  /** Ids 16 to 19 alone count, however likely others are. */
  @Test
  void textAndPaddingDoNotCompete() {
    float[] logits = new float[2 * VOCABULARY];
    logits[3] = 9;
    logits[17] = 1;
    logits[VOCABULARY + 20] = 9;
    Arrays.fill(logits, VOCABULARY + 16, VOCABULARY + 20, -5);
    logits[VOCABULARY + 19] = -4;
    assertArrayEquals(new long[] {17, 19}, choose(logits, 0, 0, new long[2]));
  }

  /** Against the softmax of its own numbers, in 20,000 draws. */
  @Test
  void drawsFollowTheSoftmax() {
    int rows = 20_000;
    double temperature = 0.6;
    float[] scores = {0.2f, -1, 0.9f, 0};
    float[] logits = new float[rows * VOCABULARY];
    for (int row = 0; row < rows; row++) {
      System.arraycopy(scores, 0, logits, row * VOCABULARY + 16, 4);
    }
    int[] counts = new int[4];
    for (long id : choose(logits, temperature, 3, LongStream.range(0, rows).toArray())) {
      counts[(int) id - 16]++;
    }
    double sum = 0;
    for (float score : scores) {
      sum += Math.exp(score / temperature);
    }
    for (int i = 0; i < 4; i++) {
      double expected = Math.exp(scores[i] / temperature) / sum;
      double deviation = Math.sqrt(expected * (1 - expected) / rows);
      assertEquals(expected, counts[i] / (double) rows, 4 * deviation, "id " + i);
    }
  }

  /** So that two policies can be compared on equal luck, in batches of any size. */
  @Test
  void aRowsDrawIsItsOwn() {
    Random random = new Random(4);
    float[] logits = new float[5 * VOCABULARY];
    for (int i = 0; i < logits.length; i++) {
      logits[i] = (float) random.nextGaussian();
    }
    long[] seeds = {7, 8, 9, 10, 11};
    long[] together = choose(logits, 2, 1, seeds);
    for (int row = 0; row < 5; row++) {
      float[] alone = Arrays.copyOfRange(logits, row * VOCABULARY, (row + 1) * VOCABULARY);
      assertEquals(together[row], choose(alone, 2, 1, new long[] {seeds[row]})[0]);
    }
  }

  @Test
  void aNegativeTemperatureIsRefused() {
    assertThrows(
        IllegalArgumentException.class, () -> new ActionChoice(ACTIONS, -0.1, new long[1]));
  }

  private static long[] choose(float[] logits, double temperature, int position, long[] seeds) {
    try (PointerScope scope = new PointerScope()) {
      Tensor tensor = Tensor.create(logits, logits.length / VOCABULARY, VOCABULARY);
      return new ActionChoice(ACTIONS, temperature, seeds).choose(tensor, position);
    }
  }
}
