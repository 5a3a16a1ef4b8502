package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.sightline.Refusals.assertMessage;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.autograd.GradCheck;

class AlignmentLossTest extends AlignmentLossFixture {
  @ParameterizedTest
  @CsvSource({
    // B, S, first, N, D, P, Z, dtype of h, dtype of t, compute, trainable, weighted
    "1, 1, 0, 1, 1, 1, 1, Float, Float, FLOAT32, true, false",
    "1, 9, 1, 7, 13, 7, 5, Float, Float, FLOAT32, false, false",
    "2, 40, 1, 31, 65, 33, 17, Float, Float, FLOAT32, true, true",
    "3, 70, 5, 64, 96, 128, 48, Float, BFloat16, FLOAT32, true, true",
    "2, 65, 0, 65, 207, 63, 31, BFloat16, Float, FLOAT32, false, true",
    "2, 40, 1, 31, 65, 33, 17, Float, Float, BFLOAT16, false, false",
    "2, 70, 6, 64, 192, 256, 128, BFloat16, BFloat16, BFLOAT16, true, true",
  })
  void agreesWithLibtorchInDouble(
      long b,
      long s,
      long first,
      long n,
      long d,
      long p,
      long z,
      ScalarType hiddenType,
      ScalarType teacherType,
      DType compute,
      boolean trainable,
      boolean weighted) {
    Random random = new Random(b * s + d);
    try (AlignmentProjector projector =
            new AlignmentProjector(config(d, p, z, trainable, 0, compute));
        AlignmentLoss alignment = new AlignmentLoss(projector)) {
      Tensor h = Oracle.activations(random, hiddenType, b, s, d).set_requires_grad(true);
      Tensor t = Oracle.activations(random, teacherType, b, n, z);
      Tensor m = weighted ? torch.rand(b, n) : null;
      AlignmentLoss.Result result = alignment.forward(h, first, t, m);
      result.loss().backward();

      Map<String, Tensor> parameters = Oracle.wide(projector.parameters());
      Tensor wideHidden = Oracle.wide(h);
      List<Tensor> expected =
          Oracle.alignment(
              parameters,
              wideHidden,
              first,
              t.to(ScalarType.Double),
              m == null ? null : m.to(ScalarType.Double));
      expected.get(0).backward();

      boolean low = compute == DType.BFLOAT16;
      // A cosine can be near 0, so its error is measured against 1, the largest.
      double slack = Oracle.tolerance(low);
      assertEquals(expected.get(0).item_double(), result.loss().item_double(), slack);
      double worst =
          result.cosine().to(ScalarType.Double).sub(expected.get(1)).abs().max().item_double();
      assertTrue(worst <= slack, () -> "cosine off by " + worst);
      assertEquals(0, result.loss().dim());
      assertFalse(result.cosine().requires_grad());
      // With one element per row, LayerNorm has no gradient: both sides are rounding alone.
      if (d > 1) {
        boolean lowGradient = low || hiddenType == ScalarType.BFloat16;
        Oracle.assertClose(
            wideHidden.grad(), h.grad(), Oracle.tolerance(lowGradient), "gradient of h");
      }
      if (first > 0) {
        assertEquals(0, h.grad().narrow(1, 0, first).abs().sum().item_double());
      }
      projector
          .parameters()
          .forEach(
              (name, parameter) -> {
                if (!trainable) {
                  assertFalse(parameter.grad().defined(), name);
                } else if (d > 1) {
                  Oracle.assertClose(
                      parameters.get(name).grad(), parameter.grad(), Oracle.tolerance(low), name);
                }
              });
    }
  }

  @ParameterizedTest
  @CsvSource({"false, 0", "true, 0", "true, 0.3"})
  void passesGradCheck(boolean trainable, double dropout) {
    try (AlignmentProjector projector =
        new AlignmentProjector(config(9, 6, 5, trainable, dropout, DType.FLOAT32))) {
      Tensor t = torch.randn(2, 4, 5);
      Tensor m = torch.rand(2, 4);
      List<Tensor> inputs = new ArrayList<>(List.of(hidden(2, 6, 9)));
      if (trainable) {
        inputs.addAll(projector.parameters().values());
      }
      GradCheck.check(
          given -> {
            // A new object each time: its first call draws the same mask.
            try (AlignmentLoss alignment = new AlignmentLoss(projector)) {
              return List.of(alignment.forward(given.get(0), 1, t, m).loss());
            }
          },
          inputs,
          GradCheck.Options.float32());
    }
  }

  @Test
  void takesStridedViews() {
    try (AlignmentProjector projector = new AlignmentProjector(ProjectorConfig.of(8, 6, 5));
        AlignmentLoss alignment = new AlignmentLoss(projector)) {
      Tensor base = torch.randn(3, 12, 10);
      Tensor rows = base.narrow(2, 1, 8).narrow(0, 1, 2); // rows apart, elements side by side
      Tensor transposed = torch.randn(2, 8, 12).transpose(1, 2); // elements apart
      Tensor teacher = torch.randn(5, 7, 2).permute(2, 1, 0);
      for (Tensor view : List.of(rows, transposed)) {
        Tensor strided = view.detach().set_requires_grad(true);
        Tensor compact = view.contiguous().clone().set_requires_grad(true);
        AlignmentLoss.Result a = alignment.forward(strided, 2, teacher);
        AlignmentLoss.Result b = alignment.forward(compact, 2, teacher.contiguous());
        a.loss().backward();
        b.loss().backward();
        assertTrue(torch.equal(a.loss(), b.loss()));
        assertTrue(torch.equal(a.cosine(), b.cosine()));
        assertTrue(torch.equal(compact.grad(), strided.grad()));
      }
    }
  }

  @Test
  void gradientsOfSeveralUsesAddUpAndScale() {
    try (AlignmentProjector projector =
            new AlignmentProjector(config(12, 8, 6, true, 0, DType.FLOAT32));
        AlignmentLoss alignment = new AlignmentLoss(projector)) {
      Tensor x = hidden(2, 6, 12);
      Tensor t1 = torch.randn(2, 4, 6);
      Tensor t2 = torch.randn(2, 3, 6);
      Tensor h = x.tanh();
      Tensor total =
          alignment
              .forward(h, 0, t1)
              .loss()
              .mul(new Scalar(0.2))
              .add(alignment.forward(h, 3, t2).loss().mul(new Scalar(-0.7)))
              .add(h.mul(h).mean());
      total.backward();

      Map<String, Tensor> parameters = Oracle.wide(projector.parameters());
      Tensor wideX = Oracle.wide(x);
      Tensor wideH = wideX.tanh();
      Oracle.alignment(parameters, wideH, 0, t1.to(ScalarType.Double), null)
          .get(0)
          .mul(new Scalar(0.2))
          .add(
              Oracle.alignment(parameters, wideH, 3, t2.to(ScalarType.Double), null)
                  .get(0)
                  .mul(new Scalar(-0.7)))
          .add(wideH.mul(wideH).mean())
          .backward();
      Oracle.assertClose(wideX.grad(), x.grad(), 1e-5, "gradient of x");
      projector
          .parameters()
          .forEach(
              (name, p) -> Oracle.assertClose(parameters.get(name).grad(), p.grad(), 1e-5, name));
    }
  }

  @Test
  void aRetainedGraphGivesTheSameGradientAgain() {
    try (AlignmentProjector projector = new AlignmentProjector(ProjectorConfig.of(8, 6, 5));
        AlignmentLoss alignment = new AlignmentLoss(projector)) {
      Tensor h = hidden(1, 4, 8);
      Tensor loss = alignment.forward(h, 0, torch.randn(1, 4, 5)).loss();
      torch.backward(
          new TensorVector(loss),
          new TensorVector(),
          new BoolOptional(true),
          false,
          new TensorVector());
      Tensor once = h.grad().clone();
      loss.backward();
      assertTrue(torch.equal(once.mul(new Scalar(2)), h.grad()));
    }
  }

  @Test
  void computesTheLossAloneWithoutGradients() {
    try (AlignmentProjector projector = new AlignmentProjector(ProjectorConfig.of(8, 6, 5));
        AlignmentLoss alignment = new AlignmentLoss(projector)) {
      Tensor h = hidden(1, 4, 8);
      Tensor t = torch.randn(1, 4, 5);
      Tensor withGradient = alignment.forward(h, 0, t).loss();
      assertTrue(withGradient.requires_grad());
      try (NoGradGuard noGrad = new NoGradGuard()) {
        Tensor without = alignment.forward(h, 0, t).loss();
        assertFalse(without.requires_grad());
        assertTrue(torch.equal(withGradient, without));
      }
      assertFalse(alignment.forward(h.detach(), 0, t).loss().requires_grad());
    }
  }

  @Test
  void definesTheEmptyCases() {
    try (AlignmentProjector projector =
            new AlignmentProjector(config(8, 6, 5, true, 0, DType.FLOAT32));
        AlignmentLoss alignment = new AlignmentLoss(projector)) {
      Tensor none = hidden(0, 4, 8);
      AlignmentLoss.Result empty = alignment.forward(none, 0, torch.randn(0, 4, 5));
      empty.loss().backward();
      assertEquals(0, empty.loss().item_double());
      Tensor h = hidden(2, 4, 8);
      AlignmentLoss.Result masked =
          alignment.forward(h, 1, torch.randn(2, 3, 5), torch.zeros(2, 3));
      masked.loss().backward();
      assertEquals(0, masked.loss().item_double());
      assertEquals(0, h.grad().abs().max().item_double());
    }
  }

  @Test
  void namesWhatIsWrong() {
    try (AlignmentProjector projector = new AlignmentProjector(ProjectorConfig.of(8, 6, 5));
        AlignmentLoss alignment = new AlignmentLoss(projector)) {
      Tensor h = hidden(2, 6, 8);
      Tensor t = torch.randn(2, 4, 5);
      assertMessage(
          "hidden must have size 8 (hiddenSize) in dimension 2, found shape [2, 6, 7]",
          () -> alignment.forward(hidden(2, 6, 7), 0, t));
      assertMessage(
          "teacher must have size 2 (batch of hidden) in dimension 0, found shape" + " [3, 4, 5]",
          () -> alignment.forward(h, 0, torch.randn(3, 4, 5)));
      assertMessage(
          "tokens 3 to 6 must lie within hidden, found 6 tokens", () -> alignment.forward(h, 3, t));
      assertMessage(
          "tokens -1 to 2 must lie within hidden, found 6 tokens",
          () -> alignment.forward(h, -1, t));
      assertThrows(IllegalArgumentException.class, () -> alignment.forward(h, Long.MAX_VALUE, t));
      assertMessage(
          "tokenWeight must have shape [2, 4], found [3, 4]",
          () -> alignment.forward(h, 0, t, torch.ones(3, 4)));
      assertMessage(
          "tokenWeight must have shape [2, 4], found [2, 3]",
          () -> alignment.forward(h, 0, t, torch.ones(2, 3)));
      assertMessage(
          "hidden must be [B,S,D], found shape [6, 8]",
          () -> alignment.forward(hidden(6, 8), 0, t));
      assertMessage(
          "hidden must be Float or BFloat16, found Double",
          () -> alignment.forward(h.to(ScalarType.Double), 0, t));
      String device =
          assertThrows(
                  UnsupportedOperationException.class,
                  () -> alignment.forward(h.to(new Device("meta"), ScalarType.Float), 0, t))
              .getMessage();
      assertEquals("hidden must be on cpu or cuda, found meta", device);
    }
  }

  @Test
  void resultsEndWithTheScope() {
    try (AlignmentProjector projector = new AlignmentProjector(ProjectorConfig.of(8, 6, 5));
        AlignmentLoss alignment = new AlignmentLoss(projector)) {
      PointerScope inner = new PointerScope();
      AlignmentLoss.Result result = alignment.forward(hidden(1, 4, 8), 0, torch.randn(1, 4, 5));
      assertFalse(result.loss().isNull() || result.cosine().isNull());
      inner.close();
      assertTrue(result.loss().isNull() && result.cosine().isNull());
    }
  }

  @Test
  void useAfterCloseSaysWhereItWasClosed() {
    AlignmentProjector projector = new AlignmentProjector(ProjectorConfig.of(8, 6, 5));
    AlignmentLoss alignment = new AlignmentLoss(projector);
    Tensor h = hidden(1, 4, 8);
    Tensor t = torch.randn(1, 4, 5);
    Tensor loss = alignment.forward(h, 0, t).loss();
    alignment.close();
    alignment.close();
    IllegalStateException e =
        assertThrows(IllegalStateException.class, () -> alignment.forward(h, 0, t));
    assertTrue(
        e.getMessage().startsWith("AlignmentLoss is closed; it was closed at "), e::toString);
    assertTrue(e.getMessage().contains("AlignmentLossTest.useAfterClose"), e::toString);
    assertTrue(e.getCause().getMessage().contains("by thread"), e.getCause()::toString);
    // The gradient was computed by then.
    loss.backward();
    assertTrue(h.grad().defined());
    AlignmentLoss orphan = new AlignmentLoss(projector);
    projector.close();
    String closed =
        assertThrows(IllegalStateException.class, () -> orphan.forward(h, 0, t)).getMessage();
    assertTrue(closed.startsWith("AlignmentProjector is closed"), closed);
    orphan.close();
    assertThrows(IllegalStateException.class, projector::parameters);
    assertThrows(IllegalStateException.class, () -> new AlignmentLoss(projector));
  }
}
