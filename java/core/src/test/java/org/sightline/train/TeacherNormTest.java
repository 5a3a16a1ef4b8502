package org.sightline.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.sightline.Sightline;

class TeacherNormTest {
  private static final int B = 2;
  private static final int N = 9;
  private static final int Z = 4;

  @BeforeAll
  static void load() {
    Sightline.load();
  }

  private static float[] floats(Tensor tensor) {
    float[] values = new float[(int) tensor.numel()];
    new FloatPointer(tensor.to(ScalarType.Float).contiguous().data_ptr_float()).get(values);
    return values;
  }

  @ParameterizedTest
  @EnumSource(
      value = ScalarType.class,
      names = {"Float", "BFloat16"})
  void spatialIsTheFormulaOverEachChannelOfAnImage(ScalarType dtype) {
    try (PointerScope scope = new PointerScope()) {
      Tensor features = Toy.random(3, 2, B, N, Z).add(new Scalar(100)).to(dtype);
      features.select(2, 1).fill_(new Scalar(0.1)); // A channel that tells nothing.
      float[] values = floats(features);
      Tensor normalised = TeacherNorm.SPATIAL.apply(features);
      assertEquals(ScalarType.Float, normalised.scalar_type().intern());
      float[] found = floats(normalised);
      for (int b = 0; b < B; b++) {
        for (int z = 0; z < Z; z++) {
          double mean = 0;
          for (int n = 0; n < N; n++) {
            mean += (double) values[(b * N + n) * Z + z] / N;
          }
          double squares = 0;
          for (int n = 0; n < N; n++) {
            squares += Math.pow(values[(b * N + n) * Z + z] - mean, 2);
          }
          double deviation = Math.sqrt(squares / (N - 1));
          assertTrue(z == 1 ? deviation < 1e-15 : deviation > 0.5);
          for (int n = 0; n < N; n++) {
            int i = (b * N + n) * Z + z;
            assertEquals((values[i] - mean) / (deviation + 1e-6), found[i], 2e-5, b + " " + z);
          }
        }
      }
      assertSame(features, TeacherNorm.NONE.apply(features));
      for (float value : floats(TeacherNorm.SPATIAL.apply(features.narrow(1, 0, 1)))) {
        assertEquals(0, value);
      }
    }
  }
}
