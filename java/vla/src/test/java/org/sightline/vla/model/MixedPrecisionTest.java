package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import java.util.Set;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.Sightline;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.model.Norms.LayerNorm;
import org.sightline.vla.model.Norms.RmsNorm;

/**
 * In a bf16 model what torch's autocast keeps in fp32 is computed as in fp32, and rounded once:
 * layer_norm, softmax, cross_entropy, and RMSNorm's pow and rsqrt. Inputs are such that bf16 on the
 * way would be seen: far from 0, or with scores in the tens.
 */
class MixedPrecisionTest {
  private static final long[] ROW = {-1};

  /** Half of a unit in the last of bf16's 8 bits, and a little for fp32. */
  private static final double ONCE = 1.01 / 256;

  private final Random random = new Random(4);
  private PointerScope scope;

  @BeforeEach
  void open() {
    Sightline.load();
    scope = new PointerScope();
  }

  @AfterEach
  void close() {
    scope.close();
  }

  private Tensor half(double mean, double deviation, long... shape) {
    var values = new float[(int) torch.ones(shape).numel()];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (mean + deviation * random.nextGaussian());
    }
    return torch.tensor(values).view(shape).to(ScalarType.BFloat16);
  }

  private static Tensor wide(Tensor tensor) {
    return tensor.to(ScalarType.Double);
  }

  private static void assertRounded(Tensor expected, Tensor found, double relative) {
    assertEquals(ScalarType.BFloat16, found.scalar_type().intern());
    Tensor error = wide(found).sub(expected).abs();
    Tensor allowed = expected.abs().mul(new Scalar(relative)).add(new Scalar(1e-5));
    assertTrue(error.le(allowed).all().item_bool(), () -> "error " + error.max().item_double());
  }

  @Test
  void layerNormsStatisticsAreOfFp32() {
    Tensor x = half(30, 1, 5, 7, 64);
    var norm = new LayerNorm(half(1, 0.1, 64), half(0, 0.1, 64), 1e-6);
    Tensor centred = wide(x).sub(wide(x).mean(ROW, true, new ScalarTypeOptional()));
    Tensor variance = centred.square().mean(ROW, true, new ScalarTypeOptional());
    Tensor expected =
        centred
            .div(variance.add(new Scalar(1e-6)).sqrt())
            .mul(wide(norm.weight()))
            .add(wide(norm.bias()));
    assertRounded(expected, norm.forward(x), ONCE);
  }

  /** Rounded before the weight, as in Hugging Face's Llama, and after it. */
  @Test
  void rmsNormIsOfFp32() {
    Tensor x = half(0, 3, 5, 7, 64);
    var norm = new RmsNorm(half(1, 0.1, 64), 1e-6);
    Tensor meanSquare = wide(x).square().mean(ROW, true, new ScalarTypeOptional());
    Tensor normal = wide(x).mul(meanSquare.add(new Scalar(1e-6)).rsqrt());
    assertRounded(normal.mul(wide(norm.weight())), norm.forward(x), 2 * ONCE);
  }

  /** A score of 60 in bf16 is off by up to 1/8, its exponential by 13 %. */
  @Test
  void attentionsScoresAreOfFp32() {
    Tensor q = half(0, 8, 1, 2, 33, 64);
    Tensor k = half(0, 8, 1, 2, 33, 64);
    Tensor v = half(0, 1, 1, 2, 33, 64);
    Tensor scores = wide(q).matmul(wide(k).transpose(2, 3)).div(new Scalar(8.0));
    assertTrue(scores.abs().max().item_double() > 60);
    Tensor expected = torch.softmax(scores, -1).matmul(wide(v)).transpose(1, 2).flatten(2, 3);
    Tensor error = wide(Attention.attend(q, k, v, false)).sub(expected).abs();
    double largest = wide(v).abs().max().item_double();
    // Weights and results may each be rounded to bf16 once.
    assertTrue(error.max().item_double() <= 2 * ONCE * largest, () -> "" + error.max());
  }

  @Test
  void crossEntropyIsOfFp32() {
    OpenVlaConfig config = TinyModels.config();
    Weights weights = Weights.of(TinyModels.weights(config, 1));
    try (OpenVla model = new OpenVla(config, weights, DType.BFLOAT16, TinyModels.LORA, 1);
        VlaBatch batch = TinyModels.batch(config, 2, 12, 12, 9)) {
      Tensor found = model.forward(batch, Set.of()).actionLoss();
      assertEquals(ScalarType.Float, found.scalar_type().intern());
      Tensor targets = SupervisedTokens.of(batch.labels(), config.imageTokens()).targets();
      Tensor expected = torch.cross_entropy_loss(wide(model.logits(batch)), targets);
      assertEquals(expected.item_double(), found.item_double(), 1e-6 * expected.item_double());
    }
  }

  @Test
  void theKernelIsNamed() {
    assertEquals("flash", Attention.kernel(Device.CPU, DType.BFLOAT16, 128));
    assertEquals("flash", Attention.kernel(Device.CPU, DType.FLOAT32, 24));
    torch.globalContext().setSDPUseFlash(false);
    try {
      assertEquals("unfused", Attention.kernel(Device.CPU, DType.BFLOAT16, 128));
    } finally {
      torch.globalContext().setSDPUseFlash(true);
    }
  }
}
