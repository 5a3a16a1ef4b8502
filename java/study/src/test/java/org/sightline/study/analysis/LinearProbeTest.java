package org.sightline.study.analysis;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.sightline.study.analysis.LinearProbe.Samples;
import org.sightline.vla.data.image.CounterRandom;

class LinearProbeTest extends AnalysisFixture {
  private static final int CLASSES = 5;
  private static final int WIDTH = 7;

  private record Data(double[][] x, int[] y) {
    /** Clouds around the classes' centres, which overlap. */
    static Data of(int count, long seed) {
      Random centres = new Random(9);
      double[][] centre = new double[CLASSES][WIDTH];
      for (double[] row : centre) {
        for (int c = 0; c < WIDTH; c++) {
          row[c] = centres.nextGaussian();
        }
      }
      Random random = new Random(seed);
      double[][] x = new double[count][WIDTH];
      int[] y = new int[count];
      for (int i = 0; i < count; i++) {
        y[i] = random.nextInt(CLASSES);
        for (int c = 0; c < WIDTH; c++) {
          x[i][c] = centre[y[i]][c] + random.nextGaussian();
        }
      }
      return new Data(x, y);
    }

    Samples samples() {
      return new Samples(tensor(x), y);
    }
  }

  /** Loops over rows, classes and columns. */
  private static double[] restated(LinearProbe probe, Data training, Data test) {
    int n = training.y.length;
    double[][] weight = new double[CLASSES][WIDTH + 1];
    double[][] velocity = new double[CLASSES][WIDTH + 1];
    for (int epoch = 0; epoch < probe.epochs(); epoch++) {
      int[] order = new int[n];
      for (int i = 0; i < n; i++) {
        int j = CounterRandom.below(CounterRandom.key(probe.seed(), epoch), i, i + 1);
        order[i] = order[j];
        order[j] = i;
      }
      for (int from = 0; from < n; from += probe.batchSize()) {
        int to = Math.min(n, from + probe.batchSize());
        double[][] gradient = new double[CLASSES][WIDTH + 1];
        for (int i = from; i < to; i++) {
          double[] row = training.x[order[i]];
          double[] logits = logits(weight, row);
          double sum = 0;
          for (double logit : logits) {
            sum += Math.exp(logit);
          }
          for (int k = 0; k < CLASSES; k++) {
            double error = Math.exp(logits[k]) / sum - (training.y[order[i]] == k ? 1 : 0);
            for (int c = 0; c <= WIDTH; c++) {
              gradient[k][c] += error * (c < WIDTH ? row[c] : 1) / (to - from);
            }
          }
        }
        for (int k = 0; k < CLASSES; k++) {
          for (int c = 0; c <= WIDTH; c++) {
            velocity[k][c] = probe.momentum() * velocity[k][c] + gradient[k][c];
            weight[k][c] -= probe.learningRate() * velocity[k][c];
          }
        }
      }
    }
    return new double[] {accuracy(weight, training), accuracy(weight, test)};
  }

  private static double[] logits(double[][] weight, double[] row) {
    double[] logits = new double[CLASSES];
    for (int k = 0; k < CLASSES; k++) {
      logits[k] = weight[k][WIDTH];
      for (int c = 0; c < WIDTH; c++) {
        logits[k] += weight[k][c] * row[c];
      }
    }
    return logits;
  }

  private static double accuracy(double[][] weight, Data data) {
    int right = 0;
    for (int i = 0; i < data.y.length; i++) {
      double[] logits = logits(weight, data.x[i]);
      int best = 0;
      for (int k = 1; k < CLASSES; k++) {
        best = logits[k] > logits[best] ? k : best;
      }
      right += best == data.y[i] ? 1 : 0;
    }
    return (double) right / data.y.length;
  }

  @Test
  void accuraciesAreThoseOfLoopsOverEverySample() {
    Data training = Data.of(300, 1);
    Data test = Data.of(200, 2);
    for (LinearProbe probe :
        new LinearProbe[] {
          LinearProbe.PAPER,
          new LinearProbe(0.02, 0, 3, 32, 7),
          new LinearProbe(0.3, 0.5, 2, 301, 1)
        }) {
      double[] expected = restated(probe, training, test);
      LinearProbe.Accuracy found = probe.fit(training.samples(), test.samples());
      assertEquals(expected[0], found.training(), 1e-12, probe::toString);
      assertEquals(expected[1], found.test(), 1e-12, probe::toString);
      assertEquals(Math.sqrt(expected[1] * (1 - expected[1]) / 200), found.standardError(), 1e-12);
      assertTrue(found.test() > 0.5 && found.test() < 1, found::toString);
    }
  }

  @Test
  void whatDoesNotFitIsRefused() {
    Data data = Data.of(10, 3);
    assertEquals(
        "features must be [n,d] with a label for each row, found 2 dimensions, 10 rows and 3 labels",
        message(() -> new Samples(data.samples().features(), new int[3])));
    assertEquals(
        "labels must be at least 0, found -1",
        message(() -> new Samples(data.samples().features().narrow(0, 0, 1), new int[] {-1})));
    Samples narrow = new Samples(data.samples().features().narrow(1, 0, 3), data.y);
    assertEquals(
        "test features must be as wide as those of training, 7, found 3",
        message(() -> LinearProbe.PAPER.fit(data.samples(), narrow)));
    assertEquals(
        "momentum must be in [0, 1), found 1.0", message(() -> new LinearProbe(0.1, 1, 1, 1, 0)));
  }
}
