package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.sightline.Refusals.assertMessage;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.AdamWOptions;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class AdamWTest extends ScopedTest {
  private static final long[][] SHAPES = {{}, {1}, {7}, {13, 31}, {2, 3, 5}, {207}, {64, 65}};

  AdamWTest() {
    super(17);
  }

  private static AdamW.Config config(double lr, double decay, double maxNorm) {
    return new AdamW.Config(lr, 0.9, 0.999, 1e-8, decay, maxNorm, true, AdamW.Precision.MASTER);
  }

  private static List<Tensor> parameters() {
    List<Tensor> parameters = new ArrayList<>();
    for (long[] shape : SHAPES) {
      parameters.add(torch.randn(shape).set_requires_grad(true));
    }
    return parameters;
  }

  private static List<Tensor> copies(List<Tensor> tensors) {
    return tensors.stream().map(t -> t.detach().clone().set_requires_grad(true)).toList();
  }

  private static void setGradient(Tensor parameter, Tensor gradient) {
    parameter.mutable_grad().put(gradient.clone());
  }

  private static org.bytedeco.pytorch.AdamW libtorch(List<Tensor> parameters, AdamW.Config config) {
    AdamWOptions options = new AdamWOptions(config.learningRate());
    options.eps().put(config.epsilon());
    options.weight_decay().put(config.weightDecay());
    return new org.bytedeco.pytorch.AdamW(
        new TensorVector(parameters.toArray(Tensor[]::new)), options);
  }

  @ParameterizedTest
  @ValueSource(doubles = {0, 1})
  void followsLibtorchForAThousandSteps(double maxNorm) {
    AdamW.Config config = config(1e-2, 0.05, maxNorm);
    List<Tensor> ours = parameters();
    List<Tensor> theirs = copies(ours);
    TensorVector clipped = new TensorVector(theirs.toArray(Tensor[]::new));
    org.bytedeco.pytorch.AdamW reference = libtorch(theirs, config);
    try (AdamW adamw = new AdamW(ours, config)) {
      for (int step = 0; step < 1000; step++) {
        try (PointerScope inner = new PointerScope()) {
          for (int i = 0; i < ours.size(); i++) {
            Tensor gradient = torch.randn(Tensors.shape(ours.get(i)));
            setGradient(ours.get(i), gradient);
            setGradient(theirs.get(i), gradient);
          }
          AdamW.Report report = adamw.step();
          if (maxNorm > 0) {
            double norm = torch.clip_grad_norm_(clipped, maxNorm);
            assertEquals(norm, report.gradNorm(), 1e-5 * norm);
            assertEquals(maxNorm / (norm + 1e-6), report.clipFactor(), 1e-5);
          } else {
            assertEquals(1, report.clipFactor());
          }
          reference.step();
        }
      }
    }
    for (int i = 0; i < ours.size(); i++) {
      Oracle.assertClose(theirs.get(i), ours.get(i), 1e-5, "parameter " + i);
      assertEquals(0, ours.get(i).grad().abs().sum().item_double(), "gradients are zeroed");
    }
  }

  @Test
  void groupsHaveRatesOfTheirOwn() {
    List<Tensor> ours = parameters();
    List<Tensor> theirs = copies(ours);
    org.bytedeco.pytorch.AdamW first = libtorch(theirs.subList(0, 3), config(1e-2, 0, 0));
    org.bytedeco.pytorch.AdamW second = libtorch(theirs.subList(3, 7), config(3e-2, 0.5, 0));
    List<AdamW.Group> groups =
        List.of(
            new AdamW.Group(ours.subList(0, 3), 1e-2, 0),
            new AdamW.Group(ours.subList(3, 7), 1, 0.5));
    try (AdamW adamw = new AdamW(config(7, 7, 0), groups)) {
      adamw.setLearningRate(1, 3e-2);
      for (int step = 0; step < 10; step++) {
        for (int i = 0; i < ours.size(); i++) {
          Tensor gradient = torch.randn(Tensors.shape(ours.get(i)));
          setGradient(ours.get(i), gradient.mul(new Scalar(4)));
          setGradient(theirs.get(i), gradient);
        }
        adamw.step(0.25);
        first.step();
        second.step();
      }
      for (int i = 0; i < ours.size(); i++) {
        Oracle.assertClose(theirs.get(i), ours.get(i), 1e-6, "parameter " + i);
      }
      adamw.setLearningRate(0);
      List<Tensor> before = copies(ours);
      ours.forEach(p -> setGradient(p, torch.randn(Tensors.shape(p))));
      adamw.step();
      for (int i = 0; i < ours.size(); i++) {
        assertTrue(torch.equal(before.get(i), ours.get(i)));
      }
    }
  }

  @Test
  void aRemainderIsAMasterInHalfTheMemory() {
    Tensor first = torch.randn(65, 33).to(ScalarType.BFloat16).set_requires_grad(true);
    Tensor second = first.detach().clone().set_requires_grad(true);
    AdamW.Config config =
        new AdamW.Config(1e-3, 0.9, 0.999, 1e-8, 0.01, 1, true, AdamW.Precision.REMAINDER);
    try (AdamW withMaster = new AdamW(List.of(first), config(1e-3, 0.01, 1));
        AdamW withRemainder = new AdamW(List.of(second), config)) {
      for (int step = 0; step < 100; step++) {
        Tensor gradient = torch.randn(65, 33).to(ScalarType.BFloat16);
        setGradient(first, gradient);
        setGradient(second, gradient);
        withMaster.step();
        withRemainder.step();
      }
      Map<String, Tensor> state = withRemainder.state();
      assertEquals(ScalarType.Short, Tensors.dtype(state.get("remainder.0")));
      assertEquals(
          List.of("step", "exp_avg.0", "exp_avg_sq.0", "remainder.0"), List.copyOf(state.keySet()));
      Tensor high = second.detach().view(ScalarType.Short).to(ScalarType.Long);
      Tensor joined =
          high.mul(new Scalar(65536))
              .add(state.get("remainder.0").to(ScalarType.Long))
              .to(ScalarType.Int)
              .view(ScalarType.Float);
      assertTrue(torch.equal(withMaster.state().get("master.0"), joined));

      // The state goes on elsewhere.
      Tensor restored = second.detach().clone().set_requires_grad(true);
      try (AdamW resumed = new AdamW(List.of(restored), config)) {
        resumed.loadState(state);
        for (Tensor parameter : List.of(second, restored)) {
          setGradient(parameter, torch.ones(65, 33).to(ScalarType.BFloat16));
        }
        withRemainder.step();
        resumed.step();
        assertTrue(torch.equal(second.detach(), restored.detach()));
        assertTrue(
            torch.equal(
                withRemainder.state().get("remainder.0"), resumed.state().get("remainder.0")));
      }
    }
  }

  @Test
  void bfloat16FollowsItsMaster() {
    Tensor low = torch.randn(65, 33).to(ScalarType.BFloat16).set_requires_grad(true);
    Tensor wide = low.detach().to(ScalarType.Float).set_requires_grad(true);
    AdamW.Config config = config(1e-3, 0.01, 0);
    try (AdamW ours = new AdamW(List.of(low), config);
        AdamW reference = new AdamW(List.of(wide), config)) {
      for (int step = 0; step < 100; step++) {
        Tensor gradient = torch.randn(65, 33).to(ScalarType.BFloat16);
        setGradient(low, gradient);
        setGradient(wide, gradient.to(ScalarType.Float));
        ours.step();
        reference.step();
      }
      // Steps this small would be lost in bf16 alone.
      assertTrue(torch.equal(wide.detach().to(ScalarType.BFloat16), low.detach()));
      // A checkpoint is loaded over the parameter: the master follows it.
      try (NoGradGuard noGrad = new NoGradGuard()) {
        low.fill_(new Scalar(2));
      }
      setGradient(low, torch.zeros(65, 33).to(ScalarType.BFloat16));
      ours.step();
      assertEquals(2, low.detach().to(ScalarType.Float).mean().item_double(), 0.02);
    }
  }

  @Test
  void parametersWithoutGradientAreLeftAlone() {
    List<Tensor> ours = parameters();
    List<Tensor> before = copies(ours);
    try (AdamW adamw = new AdamW(ours, config(0.1, 0.5, 1))) {
      assertEquals(new AdamW.Report(0, 1, 0, false), adamw.step());
      setGradient(ours.get(3), torch.ones(13, 31));
      adamw.step();
      for (int i = 0; i < ours.size(); i++) {
        assertEquals(i != 3, torch.equal(before.get(i), ours.get(i)), "parameter " + i);
      }
      Tensor steps = adamw.state().get("step");
      assertEquals(1, steps.sum().item_long());
      assertEquals(1, steps.select(0, 3).item_long());
    }
  }

  @Test
  void skipsStepsWithNonFiniteGradients() {
    List<Tensor> ours = parameters();
    List<Tensor> before = copies(ours);
    try (AdamW adamw = new AdamW(ours, config(0.1, 0.5, 1))) {
      ours.forEach(p -> setGradient(p, torch.ones(Tensors.shape(p))));
      ours.get(5).grad().narrow(0, 3, 2).fill_(new Scalar(Double.NaN));
      ours.get(6).grad().select(0, 0).select(0, 0).fill_(new Scalar(Double.POSITIVE_INFINITY));
      long version = ours.get(0)._version();
      AdamW.Report report = adamw.step();
      assertTrue(report.skipped());
      assertEquals(3, report.nonFinite());
      assertEquals(version, ours.get(0)._version());
      for (int i = 0; i < ours.size(); i++) {
        assertTrue(torch.equal(before.get(i), ours.get(i)));
        assertEquals(0, ours.get(i).grad().abs().sum().item_double());
      }
      ours.forEach(p -> setGradient(p, torch.ones(Tensors.shape(p))));
      assertFalse(adamw.step().skipped());
    }
  }

  @Test
  void stridedGradientsCountAsTheyAre() {
    Tensor ours = torch.randn(13, 31).set_requires_grad(true);
    Tensor same = ours.detach().clone().set_requires_grad(true);
    Tensor gradient = torch.randn(31, 13).t();
    try (AdamW a = new AdamW(List.of(ours), config(0.1, 0, 0));
        AdamW b = new AdamW(List.of(same), config(0.1, 0, 0))) {
      ours.mutable_grad().put(gradient.clone());
      assertFalse(ours.grad().is_contiguous());
      setGradient(same, gradient.contiguous());
      a.step();
      b.step();
      assertTrue(torch.equal(same, ours));
      assertEquals(0, ours.grad().abs().sum().item_double());
    }
  }

  @Test
  void stateContinuesATraining() {
    List<Tensor> one = List.of(torch.randn(5, 3).set_requires_grad(true), low(7));
    List<Tensor> two = copies(one);
    AdamW.Config config = config(0.05, 0.1, 0);
    try (AdamW a = new AdamW(one, config)) {
      run(a, one, 5);
      Map<String, Tensor> state = a.state();
      assertEquals(
          List.of("step", "exp_avg.0", "exp_avg_sq.0", "exp_avg.1", "exp_avg_sq.1", "master.1"),
          List.copyOf(state.keySet()));
      try (AdamW b = new AdamW(two, config)) {
        b.loadState(state);
        try (NoGradGuard noGrad = new NoGradGuard()) {
          for (int i = 0; i < one.size(); i++) {
            two.get(i).copy_(one.get(i));
          }
        }
        run(a, one, 5);
        run(b, two, 5);
        for (int i = 0; i < one.size(); i++) {
          assertTrue(torch.equal(one.get(i), two.get(i)), "parameter " + i);
        }
        state.put("exp_avg.0", torch.zeros(2));
        assertEquals(
            "exp_avg.0 must have shape [5, 3], found [2]",
            assertThrows(IllegalArgumentException.class, () -> b.loadState(state)).getMessage());
        state.remove("exp_avg.0");
        assertTrue(
            assertThrows(IllegalArgumentException.class, () -> b.loadState(state))
                .getMessage()
                .startsWith("optimizer state must hold exp_avg.0"));
      }
    }
  }

  private static Tensor low(long... shape) {
    return torch.randn(shape).to(ScalarType.BFloat16).set_requires_grad(true);
  }

  private static void run(AdamW adamw, List<Tensor> parameters, int steps) {
    for (int step = 0; step < steps; step++) {
      torch.manual_seed(100 + step);
      for (Tensor parameter : parameters) {
        setGradient(parameter, torch.randn(Tensors.shape(parameter)).to(Tensors.dtype(parameter)));
      }
      adamw.step();
    }
  }

  @Test
  void aStepIsNoticedByAutograd() {
    Tensor w = torch.randn(3).set_requires_grad(true);
    try (AdamW adamw = new AdamW(List.of(w), AdamW.Config.defaults())) {
      Tensor loss = w.mul(w).sum();
      setGradient(w, torch.ones(3));
      adamw.step();
      RuntimeException e = assertThrows(RuntimeException.class, loss::backward);
      assertTrue(e.getMessage().contains("modified by an inplace operation"), e::getMessage);
    }
  }

  @Test
  void namesWhatIsWrong() {
    assertMessage(
        "parameters must hold at least 1 tensor, found none",
        () -> new AdamW(List.of(), AdamW.Config.defaults()));
    assertMessage(
        "parameter 0 must be Float or BFloat16, found Double",
        () -> new AdamW(List.of(torch.zeros(2).to(ScalarType.Double)), AdamW.Config.defaults()));
    Tensor result = torch.zeros(2).set_requires_grad(true).neg();
    assertMessage(
        "parameter 0 must be a leaf of the graph, found the result of an operation",
        () -> new AdamW(List.of(result), AdamW.Config.defaults()));
    assertMessage(
        "parameter 1 must be contiguous",
        () -> new AdamW(List.of(torch.zeros(1), torch.zeros(2, 3).t()), AdamW.Config.defaults()));
    assertMessage(
        "beta1 must be in [0, 1), found 1.0",
        () -> new AdamW.Config(1, 1, 0, 1, 0, 0, true, AdamW.Precision.MASTER));
    assertMessage("learningRate must be finite and at least 0, found -1.0", () -> config(-1, 0, 0));
    assertMessage(
        "weightDecay must be finite and at least 0, found NaN",
        () -> new AdamW.Group(List.of(), 1, Double.NaN));
    Tensor same = torch.zeros(3).set_requires_grad(true);
    String twice =
        assertThrows(
                IllegalArgumentException.class,
                () -> new AdamW(List.of(same, same), AdamW.Config.defaults()))
            .getMessage();
    assertTrue(twice.contains("overlaps"), twice);
  }

  @Test
  void newMemoryAndUseAfterCloseAreRefused() {
    Tensor w = torch.randn(3).set_requires_grad(true);
    AdamW adamw = new AdamW(List.of(w), AdamW.Config.defaults());
    setGradient(w, torch.ones(3));
    adamw.step();
    w.set_data(torch.randn(3));
    IllegalStateException moved = assertThrows(IllegalStateException.class, adamw::step);
    assertTrue(
        moved.getMessage().startsWith("parameter 0 was given other memory"), moved::toString);
    adamw.close();
    IllegalStateException closed = assertThrows(IllegalStateException.class, adamw::step);
    assertTrue(
        closed.getMessage().contains("AdamW is closed; it was closed at "), closed::toString);
    assertThrows(IllegalStateException.class, adamw::state);
    assertThrows(IllegalStateException.class, () -> adamw.setLearningRate(1));
  }
}
