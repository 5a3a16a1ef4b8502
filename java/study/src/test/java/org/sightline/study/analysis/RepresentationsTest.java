package org.sightline.study.analysis;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;

class RepresentationsTest extends AnalysisFixture {
  private static double[][] random(int rows, int columns, long seed) {
    Random random = new Random(seed);
    double[][] values = new double[rows][columns];
    for (double[] row : values) {
      for (int c = 0; c < columns; c++) {
        row[c] = 3 + random.nextGaussian() * (c + 1);
      }
    }
    return values;
  }

  /** Columns of a Hadamard matrix have mean 0 and are orthogonal: singular values are known. */
  private static double[][] withSingularValues(double... values) {
    double[][] rows = new double[8][values.length];
    for (int r = 0; r < 8; r++) {
      for (int c = 0; c < values.length; c++) {
        int sign = Integer.bitCount(r & (c + 1)) % 2 == 0 ? 1 : -1;
        rows[r][c] = 5 + sign * values[c] / Math.sqrt(8);
      }
    }
    return rows;
  }

  @Test
  void theEffectiveRankIsThatOfTheSingularValues() {
    assertEquals(4, Representations.effectiveRank(tensor(withSingularValues(2, 2, 2, 2))), 1e-9);
    assertEquals(1, Representations.effectiveRank(tensor(withSingularValues(7, 0, 0))), 1e-9);
    double expected = Math.exp(-(0.75 * Math.log(0.75) + 0.25 * Math.log(0.25)));
    assertEquals(
        expected, Representations.effectiveRank(tensor(withSingularValues(3, 1, 0))), 1e-9);
  }

  @Test
  void widthRowsAndRotationMakeNoDifference() {
    Tensor tall = tensor(random(40, 6, 1));
    double rank = Representations.effectiveRank(tall);
    assertTrue(rank > 1 && rank < 6, "rank " + rank);
    // A wider matrix with the same singular values takes the other Gram matrix.
    Tensor wide = tall.matmul(tensor(random(6, 100, 2)));
    Tensor again = wide.matmul(tensor(rotation(100)));
    assertEquals(Representations.effectiveRank(wide), Representations.effectiveRank(again), 1e-6);
    assertEquals(0, Representations.effectiveRank(tensor(new double[][] {{1, 2}, {1, 2}})), 0);
  }

  /** Householder's reflection. */
  private static double[][] rotation(int size) {
    double[][] reflection = new double[size][size];
    for (int i = 0; i < size; i++) {
      for (int j = 0; j < size; j++) {
        reflection[i][j] = (i == j ? 1 : 0) - 2.0 / size;
      }
    }
    return reflection;
  }

  /** By Gram matrices of samples, where the code has those of features. */
  @Test
  void ckaIsThatOfTheGramMatrices() {
    double[][] x = random(30, 5, 3);
    double[][] y = random(30, 9, 4);
    for (int r = 0; r < 30; r++) {
      y[r][0] += 2 * x[r][4]; // Something in common.
    }
    double[][] k = gram(x);
    double[][] l = gram(y);
    double expected = inner(k, l) / Math.sqrt(inner(k, k) * inner(l, l));
    assertEquals(expected, Representations.linearCka(tensor(x), tensor(y)), 1e-10);
    assertTrue(expected > 0.1 && expected < 0.9, "" + expected);
    assertEquals(
        1,
        Representations.linearCka(
            tensor(x), tensor(x).matmul(tensor(rotation(5))).mul(new Scalar(-3.0))),
        1e-10);
  }

  private static double[][] gram(double[][] rows) {
    int n = rows.length;
    int d = rows[0].length;
    double[] mean = new double[d];
    for (double[] row : rows) {
      for (int c = 0; c < d; c++) {
        mean[c] += row[c] / n;
      }
    }
    double[][] gram = new double[n][n];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        for (int c = 0; c < d; c++) {
          gram[i][j] += (rows[i][c] - mean[c]) * (rows[j][c] - mean[c]);
        }
      }
    }
    return gram;
  }

  private static double inner(double[][] a, double[][] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < a.length; j++) {
        sum += a[i][j] * b[i][j];
      }
    }
    return sum;
  }

  @Test
  void whatIsNoMatrixOfSamplesIsRefused() {
    Tensor good = tensor(random(4, 3, 5));
    assertEquals(
        "features must be [n,d] with n of at least 2, found [1, 3]",
        message(() -> Representations.effectiveRank(good.narrow(0, 0, 1))));
    assertEquals(
        "x must be [n,d] with n of at least 2, found [12]",
        message(() -> Representations.linearCka(good.view(-1), good)));
    assertEquals(
        "y must have as many rows as x, 4, found 3",
        message(() -> Representations.linearCka(good, good.narrow(0, 0, 3))));
    assertEquals(
        "y must have rows that differ, found equal ones",
        message(() -> Representations.linearCka(good, good.new_ones(4, 2))));
    Tensor broken = good.to(ScalarType.Float);
    broken.select(0, 1).fill_(new Scalar(Double.NaN));
    assertTrue(
        message(() -> Representations.effectiveRank(broken)).contains("features must be finite"));
  }
}
