package org.sightline.vla.teacher;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Random;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.model.TinyModels;

/** Compares a teacher with fp64 features of the same batch. */
final class TeacherOracle {
  /**
   * Rounding to bf16, 2⁻⁹ each time: of weights and of about ten intermediate results of each block
   * and its surroundings, √20 · 2⁻⁹ if they are independent, and half as much again.
   */
  static final double BF16 = 1.5 * Math.sqrt(20) / 512;

  private static final int ROWS = 2;

  /** fp64 features [N][Z] of policy pixels [3,side,side] (flat, channels 0–2 of the batch). */
  interface Features {
    double[][] of(double[] pixels, int side);
  }

  private TeacherOracle() {}

  static VlaBatch batch(int rows, int side, long seed) {
    var random = new Random(seed);
    var pixels = new float[rows * 6 * side * side];
    for (int i = 0; i < pixels.length; i++) {
      pixels[i] = (float) random.nextGaussian();
    }
    Tensor none = torch.zeros(0);
    return new VlaBatch(Tensor.create(pixels, rows, 6, side, side), none, none, none, none);
  }

  /** On images of {@code side} pixels; {@code tolerance} is of ‖found − expected‖/‖expected‖. */
  static void check(VisionTeacher teacher, int side, Features reference, double tolerance) {
    try (PointerScope scope = new PointerScope()) {
      VlaBatch batch = batch(ROWS, side, 11);
      Tensor features = teacher.features(batch);
      assertFalse(features.requires_grad());
      for (int row = 0; row < ROWS; row++) {
        double[] pixels = TinyModels.doubles(batch.pixelValues().select(0, row).narrow(0, 0, 3));
        double[][] expected = reference.of(pixels, side);
        assertArrayEquals(new long[] {ROWS, expected.length, expected[0].length}, features.shape());
        double error =
            TinyModels.relativeError(
                TinyModels.doubles(features.select(0, row)),
                Arrays.stream(expected).flatMapToDouble(Arrays::stream).toArray());
        assertTrue(error < tolerance, "row " + row + ": relative error " + error);
      }
      assertEquals(features.size(2), teacher.width());
    }
  }

  /** ImageNet's constants rounded to bf16, which policy pixels are normalised with. */
  static double[] toUnitRange(double[] pixels) {
    double[] mean = {0.484375, 0.455078125, 0.40625};
    double[] std = {0.228515625, 0.2236328125, 0.224609375};
    var values = new double[pixels.length];
    for (int i = 0; i < values.length; i++) {
      int c = i / (pixels.length / 3);
      values[i] = pixels[i] * std[c] + mean[c];
    }
    return values;
  }

  /** Bilinear, corners not aligned, no antialias: what the paper's code resizes images with. */
  static double[] resized(double[] pixels, int side, int to) {
    return ReferenceResampling.image(pixels, ReferenceResampling.bilinear(side, to, false));
  }
}
