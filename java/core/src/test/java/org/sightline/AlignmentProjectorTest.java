package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.sightline.Refusals.assertMessage;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.SGD;
import org.bytedeco.pytorch.SGDOptions;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;

/** The projector behind an alignment loss: its weights, dropout and configuration. */
class AlignmentProjectorTest extends AlignmentLossFixture {
  @Test
  void followsItsParameters() {
    try (AlignmentProjector projector =
            new AlignmentProjector(config(8, 6, 5, true, 0, DType.FLOAT32));
        AlignmentLoss alignment = new AlignmentLoss(projector);
        AdamW adamw =
            new AdamW(
                List.copyOf(projector.parameters().values()),
                new AdamW.Config(0.05, 0.9, 0.999, 1e-8, 0, 0, true, AdamW.Precision.MASTER))) {
      Tensor h = hidden(2, 4, 8);
      Tensor t = torch.randn(2, 4, 5);
      double before = alignment.forward(h, 0, t).loss().item_double();
      for (int i = 0; i < 20; i++) {
        alignment.forward(h, 0, t).loss().backward();
        adamw.step();
        double expected =
            Oracle.alignment(
                    Oracle.wide(projector.parameters()),
                    Oracle.wide(h),
                    0,
                    t.to(ScalarType.Double),
                    null)
                .get(0)
                .item_double();
        assertEquals(expected, alignment.forward(h, 0, t).loss().item_double(), 1e-5);
      }
      double after = alignment.forward(h, 0, t).loss().item_double();
      assertTrue(after < before - 0.2, () -> "loss " + before + " to " + after);
      // A change by libtorch itself.
      try (NoGradGuard noGrad = new NoGradGuard()) {
        projector.parameters().get("net.7.weight").zero_();
        projector.parameters().get("net.7.bias").fill_(new Scalar(1));
      }
      Tensor cosine = alignment.forward(h, 0, t).cosine();
      Tensor ones = torch.ones_like(t);
      Oracle.assertClose(torch.cosine_similarity(t, ones, -1, 1e-12), cosine, 1e-6, "cosine");
    }
  }

  @Test
  void followsAnOptimizerThatVersionCountersDoNotSee() {
    try (AlignmentProjector projector =
            new AlignmentProjector(config(8, 6, 5, true, 0, DType.FLOAT32));
        AlignmentLoss alignment = new AlignmentLoss(projector)) {
      TensorVector parameters =
          new TensorVector(projector.parameters().values().toArray(Tensor[]::new));
      SGD sgd = new SGD(parameters, new SGDOptions(0.5));
      Tensor h = hidden(2, 4, 8);
      Tensor t = torch.randn(2, 4, 5);
      Tensor weight = projector.parameters().get("net.7.weight");
      Tensor before = weight.clone();
      long version = weight._version();
      alignment.forward(h, 0, t).loss().backward();
      sgd.step();
      assertFalse(torch.equal(before, weight));
      assertEquals(version, weight._version());
      Map<String, Tensor> wide = Oracle.wide(projector.parameters());
      Tensor expected = Oracle.alignment(wide, Oracle.wide(h), 0, Oracle.wide(t), null).get(0);
      double loss = alignment.forward(h, 0, t).loss().item_double();
      assertEquals(expected.item_double(), loss, 1e-5);
    }
  }

  @Test
  void drawsDropoutFromTheSeedAnewInEveryCall() {
    ProjectorConfig config = config(16, 32, 8, true, 0.5, DType.FLOAT32);
    try (AlignmentProjector projector = new AlignmentProjector(config);
        AlignmentLoss one = new AlignmentLoss(projector);
        AlignmentLoss two = new AlignmentLoss(projector)) {
      Tensor h = torch.randn(1, 4, 16);
      Tensor t = torch.randn(1, 4, 8);
      Tensor first = one.forward(h, 0, t).cosine();
      Tensor second = one.forward(h, 0, t).cosine();
      assertFalse(torch.equal(first, second));
      assertTrue(torch.equal(first, two.forward(h, 0, t).cosine()));
      assertTrue(torch.equal(second, two.forward(h, 0, t).cosine()));
      one.train(false);
      Tensor plain =
          Oracle.alignment(
                  Oracle.wide(projector.parameters()),
                  h.to(ScalarType.Double),
                  0,
                  t.to(ScalarType.Double),
                  null)
              .get(1);
      Oracle.assertClose(plain, one.forward(h, 0, t).cosine(), 1e-5, "cosine");
    }
  }

  @Test
  void aSeedMeansTheSameWeightsAndAnotherOneOthers() {
    try (AlignmentProjector a = new AlignmentProjector(ProjectorConfig.of(8, 6, 5));
        AlignmentProjector b = new AlignmentProjector(ProjectorConfig.of(8, 6, 5));
        AlignmentProjector c = new AlignmentProjector(config(8, 6, 5, false, 0, DType.FLOAT32))) {
      a.parameters().forEach((name, p) -> assertTrue(torch.equal(p, b.parameters().get(name))));
      assertFalse(
          torch.equal(a.parameters().get("net.1.weight"), c.parameters().get("net.1.weight")));
      double bound = 1 / Math.sqrt(8);
      double largest = a.parameters().get("net.1.weight").abs().max().item_double();
      assertTrue(largest <= bound && largest > 0.8 * bound, () -> largest + " of " + bound);
      a.parameters().values().forEach(p -> assertFalse(p.requires_grad()));
    }
  }

  @Test
  void givenWeightsAreCopiedAndChecked() {
    try (AlignmentProjector source = new AlignmentProjector(ProjectorConfig.of(8, 6, 5))) {
      Map<String, Tensor> weights = new LinkedHashMap<>(source.parameters());
      try (AlignmentProjector copy = AlignmentProjector.of(source.config(), weights)) {
        source.parameters().get("net.1.bias").zero_();
        assertTrue(copy.parameters().get("net.1.bias").abs().max().item_double() > 0);
      }
      weights.put("net.4.bias", torch.zeros(7));
      IllegalArgumentException shape =
          assertThrows(
              IllegalArgumentException.class,
              () -> AlignmentProjector.of(source.config(), weights));
      assertEquals("net.4.bias must have shape [6], found [7]", shape.getMessage());
      weights.put("net.4.bias", torch.full(new long[] {6}, new Scalar(Double.NaN)));
      IllegalArgumentException finite =
          assertThrows(
              IllegalArgumentException.class,
              () -> AlignmentProjector.of(source.config(), weights));
      assertEquals("net.4.bias must be finite, found NaN at [0]", finite.getMessage());
      weights.remove("net.4.bias");
      IllegalArgumentException missing =
          assertThrows(
              IllegalArgumentException.class,
              () -> AlignmentProjector.of(source.config(), weights));
      assertTrue(missing.getMessage().contains("net.4.bias is missing"), missing::getMessage);
    }
  }

  @Test
  void configurationsAreChecked() {
    assertMessage("hiddenSize must be at least 1, found 0", () -> ProjectorConfig.of(0, 1, 1));
    assertMessage(
        "dropout must be 0 in a frozen projector, found 0.1",
        () -> config(1, 1, 1, false, 0.1, DType.FLOAT32));
    assertMessage(
        "dropout must be in [0, 1), found 1.0", () -> config(1, 1, 1, true, 1, DType.FLOAT32));
  }
}
