package org.sightline.study.analysis;

import static org.junit.jupiter.api.Assertions.assertThrows;

import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.function.Executable;
import org.sightline.Sightline;

/** A scope a test, and features from arrays. */
abstract class AnalysisFixture {
  private PointerScope scope;

  @BeforeAll
  static void load() {
    Sightline.load();
  }

  @BeforeEach
  void open() {
    scope = new PointerScope();
  }

  @AfterEach
  void close() {
    scope.close();
  }

  static Tensor tensor(double[][] rows) {
    double[] flat = new double[rows.length * rows[0].length];
    for (int r = 0; r < rows.length; r++) {
      System.arraycopy(rows[r], 0, flat, r * rows[0].length, rows[0].length);
    }
    return Tensor.create(flat, rows.length, rows[0].length);
  }

  static String message(Executable call) {
    return assertThrows(IllegalArgumentException.class, call).getMessage();
  }
}
