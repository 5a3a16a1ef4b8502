package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.binding.sightline;
import org.sightline.binding.sl_context;

/**
 * The training API on tensors of every device, against fp64 on the CPU. Where there is no GPU its
 * tests are skipped and say why; {@code -Dsightline.tests.cuda=force} makes that a failure.
 */
class DeviceTest extends ScopedTest {
  DeviceTest() {
    super(15);
  }

  @AfterEach
  void forbidTf32() {
    Sightline.allowTf32(false);
  }

  private static void require(String device) {
    if (device.equals("cpu")) {
      return;
    }
    String cause = null;
    if (!torch.cuda_is_available()) {
      cause = "libtorch has no CUDA device (the CUDA build of libtorch comes with -Pgpu)";
    } else if (!Sightline.cuda().isAvailable()) {
      cause = Sightline.cuda().unavailabilityCause();
    }
    if (cause != null && "force".equals(System.getProperty("sightline.tests.cuda"))) {
      fail("sightline.tests.cuda=force: " + cause);
    }
    if (cause != null) {
      Assumptions.abort(cause);
    }
  }

  private static Tensor on(String device, Tensor tensor) {
    return tensor.to(new Device(device), tensor.scalar_type());
  }

  private static Tensor leafOn(String device, Tensor tensor) {
    return on(device, tensor).detach().set_requires_grad(true);
  }

  private static void assertClose(Tensor expected, Tensor actual, double tolerance, String what) {
    Oracle.assertClose(expected, actual.cpu(), tolerance, what);
  }

  private static Map<String, Tensor> parameters(Random random, long d, long p, long z) {
    Map<String, Tensor> parameters = new TreeMap<>();
    parameters.put(
        "net.0.weight", Oracle.normal(random, ScalarType.Float, 0.2, d).add(new Scalar(1)));
    parameters.put("net.0.bias", Oracle.normal(random, ScalarType.Float, 0.2, d));
    long[][] layers = {{1, p, d}, {4, p, p}, {7, z, p}};
    for (long[] layer : layers) {
      double scale = 1.7 / Math.sqrt(layer[2]);
      String name = "net." + layer[0];
      parameters.put(
          name + ".weight", Oracle.normal(random, ScalarType.Float, scale, layer[1], layer[2]));
      parameters.put(name + ".bias", Oracle.normal(random, ScalarType.Float, 0.3, layer[1]));
    }
    return parameters;
  }

  /** On a GPU TF32 is taken where libtorch's setting allows it; nowhere else does it matter. */
  @ParameterizedTest
  @CsvSource({
    "cpu,FLOAT32,false",
    "cpu,FLOAT32,true",
    "cpu,BFLOAT16,false",
    "cuda,FLOAT32,false",
    "cuda,FLOAT32,true",
    "cuda,BFLOAT16,false"
  })
  void alignmentLoss(String device, DType dtype, boolean tf32) {
    require(device);
    Random random = new Random(5);
    Sightline.allowTf32(tf32);
    boolean rounded = tf32 && device.equals("cuda");
    Map<String, Tensor> held = parameters(random, 136, 96, 72);
    Tensor hidden = Oracle.activations(random, dtype.scalarType(), 3, 21, 136);
    Tensor teacher = Oracle.normal(random, dtype.scalarType(), 1, 3, 17, 72);
    Tensor weights = torch.rand(3, 17);
    Tensor wide = Oracle.wide(hidden).set_requires_grad(true);
    List<Tensor> expected =
        Oracle.alignment(
            Oracle.wide(held), wide, 2, Oracle.wide(teacher), weights.to(ScalarType.Double));
    expected.get(0).backward();

    Map<String, Tensor> moved = new TreeMap<>();
    held.forEach((name, tensor) -> moved.put(name, on(device, tensor)));
    ProjectorConfig config = new ProjectorConfig(136, 96, 72, false, 0, dtype, 0);
    Tensor leaf = leafOn(device, hidden);
    try (AlignmentProjector projector = AlignmentProjector.of(config, moved);
        AlignmentLoss alignment = new AlignmentLoss(projector)) {
      AlignmentLoss.Result result =
          alignment.forward(leaf, 2, on(device, teacher), on(device, weights));
      result.loss().backward();
      double tolerance = rounded ? 2e-3 : Oracle.tolerance(dtype == DType.BFLOAT16);
      assertClose(expected.get(1), result.cosine(), tolerance, "cosine");
      assertEquals(expected.get(0).item_double(), result.loss().item_double(), tolerance);
      assertClose(wide.grad(), leaf.grad(), tolerance, "gradient");
      if (rounded) {
        assertThrows(
            AssertionError.class,
            () -> assertClose(wide.grad(), leaf.grad(), 5e-5, "gradient through TF32"));
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"cpu", "cuda"})
  void trainableProjectorFollowsItsWeights(String device) {
    require(device);
    Random random = new Random(6);
    Map<String, Tensor> moved = new TreeMap<>();
    parameters(random, 72, 64, 64).forEach((name, tensor) -> moved.put(name, on(device, tensor)));
    Tensor hidden = Oracle.activations(random, ScalarType.Float, 2, 9, 72);
    Tensor teacher = Oracle.normal(random, ScalarType.Float, 1, 2, 9, 64);
    ProjectorConfig config = new ProjectorConfig(72, 64, 64, true, 0, DType.FLOAT32, 0);
    try (AlignmentProjector projector = AlignmentProjector.of(config, moved);
        AlignmentLoss alignment = new AlignmentLoss(projector);
        AdamW adamW =
            new AdamW(List.copyOf(projector.parameters().values()), AdamW.Config.defaults())) {
      for (int step = 0; step < 3; step++) {
        AlignmentLoss.Result result = alignment.forward(on(device, hidden), 0, on(device, teacher));
        Map<String, Tensor> wide = new TreeMap<>();
        projector
            .parameters()
            .forEach(
                (name, tensor) ->
                    wide.put(name, Oracle.wide(tensor.cpu()).set_requires_grad(true)));
        Tensor expected =
            Oracle.alignment(wide, Oracle.wide(hidden), 0, Oracle.wide(teacher), null).get(0);
        assertEquals(expected.item_double(), result.loss().item_double(), 1e-5);
        expected.backward();
        result.loss().backward();
        projector
            .parameters()
            .forEach((name, p) -> assertClose(wide.get(name).grad(), p.grad(), 2e-5, name));
        adamW.step(); // and zeroes the gradients
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "cpu,FLOAT32,false",
    "cpu,BFLOAT16,false",
    "cuda,FLOAT32,false",
    "cuda,FLOAT32,true",
    "cuda,BFLOAT16,false"
  })
  void loraLinear(String device, DType dtype, boolean tf32) {
    require(device);
    Random random = new Random(7);
    Sightline.allowTf32(tf32);
    ScalarType type = dtype.scalarType();
    Tensor weight = Oracle.normal(random, type, 0.1, 72, 96);
    Tensor bias = Oracle.normal(random, type, 1, 72);
    Tensor x = Oracle.normal(random, type, 1, 3, 14, 96);
    Tensor upstream = Oracle.normal(random, type, 1, 3, 14, 72);
    double tolerance = tf32 ? 2e-3 : Oracle.tolerance(dtype == DType.BFLOAT16);
    Tensor leaf = leafOn(device, x);
    try (LoraLinear linear =
        new LoraLinear(
            on(device, weight), on(device, bias), LoraConfig.of(16, 8), DType.FLOAT32, 3)) {
      assertEquals(leaf.is_cuda(), linear.loraA().is_cuda());
      try (NoGradGuard noGrad = new NoGradGuard()) {
        linear.loraB().copy_(Oracle.normal(random, ScalarType.Float, 0.3, 72, 16));
      }
      Tensor wideX = Oracle.wide(x).set_requires_grad(true);
      Tensor a = Oracle.wide(linear.loraA().cpu()).set_requires_grad(true);
      Tensor b = Oracle.wide(linear.loraB().cpu()).set_requires_grad(true);
      Tensor expected = Oracle.lora(wideX, Oracle.wide(weight), Oracle.wide(bias), a, b, 0.5);
      expected.mul(Oracle.wide(upstream)).sum().backward();
      Tensor y = linear.forward(leaf);
      y.mul(on(device, upstream)).sum().backward();
      assertClose(expected, y, tolerance, "y");
      assertClose(wideX.grad(), leaf.grad(), tolerance, "dx");
      assertClose(a.grad(), linear.loraA().grad(), tolerance, "dA");
      assertClose(b.grad(), linear.loraB().grad(), tolerance, "dB");
      linear.merge();
      assertClose(expected, linear.forward(leaf), tf32 ? 2e-3 : 2 * tolerance, "merged y");
    }
  }

  /** The same steps as on the CPU, whose bits are tested elsewhere. */
  @ParameterizedTest
  @ValueSource(strings = {"cpu", "cuda"})
  void adamW(String device) {
    require(device);
    AdamW.Config config =
        new AdamW.Config(1e-2, 0.9, 0.999, 1e-8, 0.01, 1, true, AdamW.Precision.MASTER);
    List<List<Tensor>> sides = new ArrayList<>();
    List<List<AdamW.Report>> reports = new ArrayList<>();
    for (String side : List.of("cpu", device)) {
      Random random = new Random(8);
      List<Tensor> parameters = new ArrayList<>();
      for (long size : new long[] {5, 4100, 33}) {
        parameters.add(leafOn(side, Oracle.normal(random, ScalarType.Float, 1, size)));
      }
      List<AdamW.Report> told = new ArrayList<>();
      try (AdamW adamW = new AdamW(parameters, config)) {
        for (int step = 0; step < 4; step++) {
          for (Tensor p : parameters) {
            Tensor g = Oracle.normal(random, ScalarType.Float, 1, p.size(0));
            if (step == 2 && p.size(0) == 33) {
              g.fill_(new Scalar(Double.NaN));
            }
            p.mutable_grad().put(on(side, g));
          }
          told.add(adamW.step());
          parameters.forEach(p -> assertEquals(0, p.grad().abs().sum().item_double()));
        }
      }
      sides.add(parameters);
      reports.add(told);
    }
    for (int i = 0; i < 3; i++) {
      assertClose(sides.get(0).get(i), sides.get(1).get(i), 1e-6, "parameter " + i);
    }
    for (int step = 0; step < 4; step++) {
      AdamW.Report expected = reports.get(0).get(step);
      AdamW.Report found = reports.get(1).get(step);
      assertEquals(step == 2, found.skipped());
      assertEquals(step == 2 ? 33 : 0, found.nonFinite());
      if (step != 2) {
        assertEquals(expected.gradNorm(), found.gradNorm(), 1e-5 * expected.gradNorm());
        assertEquals(expected.clipFactor(), found.clipFactor(), 1e-5);
        assertTrue(found.clipFactor() < 1);
      }
    }
  }

  @Test
  void oneSwitchForTf32() {
    assertFalse(torch.globalContext().allowTF32CuBLAS());
    assertEquals(sightline.SL_FP32_IEEE, CallContext.fp32Precision());
    Sightline.allowTf32(true);
    assertTrue(torch.globalContext().allowTF32CuBLAS());
    assertEquals(sightline.SL_FP32_TF32, CallContext.fp32Precision());
    Sightline.allowTf32(false);
    assertEquals(sightline.SL_FP32_IEEE, CallContext.fp32Precision());
  }

  @Test
  void scratchMemoryIsOfTheSizeThatTheCallAskedFor() {
    List<String> seen = new ArrayList<>();
    try (sl_context context = new sl_context()) {
      context.workspace(null).workspace_bytes(0).workspace_query(null);
      CallContext.runWithScratch(
          torch.empty(1),
          context,
          made -> {
            boolean query = made.workspace_query() != null;
            seen.add(query + " " + (made.workspace() != null) + " " + made.workspace_bytes());
            if (query) {
              made.workspace_query().put(0, 4098);
            }
            return sightline.SL_OK;
          });
      assertEquals(List.of("true false 0", "false true 4100"), seen);
      assertEquals(null, context.workspace());
      assertEquals(0, context.workspace_bytes());
    }
  }

  @Test
  void contextsAreForGpusAlone() {
    assertEquals(null, CallContext.of(torch.empty(1)));
    if (torch.cuda_is_available()) {
      CallContext.currentStream(0); // null is the default stream
      return;
    }
    UnsupportedOperationException e =
        assertThrows(UnsupportedOperationException.class, () -> CallContext.currentStream(3));
    assertEquals(
        "cuda:3: no CUDA build of libtorch is loaded, expected that of -Pgpu", e.getMessage());
  }
}
