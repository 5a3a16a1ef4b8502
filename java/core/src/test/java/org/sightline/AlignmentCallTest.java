package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.sightline.Refusals.assertMessage;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@link AlignmentLoss#lossAndGradient}: what the graph gives, without the graph. */
class AlignmentCallTest extends ScopedTest {
  private static final ProjectorConfig CONFIG =
      new ProjectorConfig(13, 31, 5, false, 0, DType.FLOAT32, 3);

  private AlignmentProjector projector;
  private AlignmentLoss alignment;

  AlignmentCallTest() {
    super(11);
  }

  @BeforeEach
  void open() {
    projector = new AlignmentProjector(CONFIG);
    alignment = new AlignmentLoss(projector);
  }

  @AfterEach
  void close() {
    alignment.close();
    projector.close();
  }

  private static Tensor number() {
    return Tensors.empty(torch.randn(1), ScalarType.Float);
  }

  @ParameterizedTest
  @CsvSource({"Float,false", "Float,true", "BFloat16,true"})
  void givesTheBitsOfTheGraph(ScalarType dtype, boolean weighted) {
    Tensor hidden = torch.randn(2, 9, 13).to(dtype).set_requires_grad(true);
    Tensor teacher = torch.randn(2, 6, 5).to(dtype);
    Tensor weights = weighted ? torch.rand(2, 6) : null;
    AlignmentLoss.Result expected = alignment.forward(hidden, 2, teacher, weights);
    expected.loss().backward();

    Tensor loss = number();
    Tensor cosine = torch.zeros(2, 6);
    Tensor gradient = torch.full(new long[] {2, 9, 13}, new Scalar(7.0)).to(dtype);
    alignment.lossAndGradient(hidden, 2, teacher, weights, loss, cosine, gradient);

    assertTrue(loss.equal(expected.loss()));
    assertTrue(cosine.equal(expected.cosine()));
    assertTrue(gradient.narrow(1, 2, 6).equal(hidden.grad().narrow(1, 2, 6)));
    assertTrue(gradient.narrow(1, 2, 6).abs().sum().item_double() > 0);
    for (long token : new long[] {0, 1, 8}) {
      assertTrue(gradient.select(1, token).eq(new Scalar(7.0)).all().item_bool());
    }
  }

  @Test
  void writesIntoAViewAndTellsLibtorch() {
    Tensor hidden = torch.randn(2, 6, 13);
    Tensor teacher = torch.randn(2, 6, 5);
    Tensor wide = torch.zeros(2, 6, 20);
    Tensor loss = number();
    Tensor cosine = torch.zeros(2, 6);
    long lossVersion = loss._version();
    long cosineVersion = cosine._version();
    long version = wide._version();
    alignment.lossAndGradient(hidden, 0, teacher, null, loss, cosine, wide.narrow(2, 3, 13));

    Tensor compact = torch.zeros(2, 6, 13);
    alignment.lossAndGradient(hidden, 0, teacher, null, number(), null, compact);
    assertTrue(wide.narrow(2, 3, 13).equal(compact));
    assertEquals(0.0, wide.narrow(2, 0, 3).abs().sum().item_double());
    assertEquals(0.0, wide.narrow(2, 16, 4).abs().sum().item_double());
    assertEquals(version + 1, wide._version());
    assertEquals(lossVersion + 1, loss._version());
    assertEquals(cosineVersion + 1, cosine._version());
  }

  @Test
  void readsWeightsThatHaveChanged() {
    Tensor hidden = torch.randn(2, 6, 13);
    Tensor teacher = torch.randn(2, 6, 5);
    Tensor before = number();
    Tensor after = number();
    Tensor gradient = torch.zeros(2, 6, 13);
    alignment.lossAndGradient(hidden, 0, teacher, null, before, null, gradient);
    projector.parameters().get("net.7.bias").add_(new Scalar(1.0));
    alignment.lossAndGradient(hidden, 0, teacher, null, after, null, gradient);
    assertFalse(after.equal(before));
    assertTrue(after.equal(alignment.forward(hidden, 0, teacher).loss()));
  }

  @Test
  void dropsOutAsTheGraphDoes() {
    ProjectorConfig config = new ProjectorConfig(13, 31, 5, true, 0.3, DType.FLOAT32, 3);
    Tensor hidden = torch.randn(2, 6, 13);
    Tensor teacher = torch.randn(2, 6, 5);
    try (AlignmentProjector trainable = new AlignmentProjector(config);
        AlignmentLoss call = new AlignmentLoss(trainable);
        AlignmentLoss graph = new AlignmentLoss(trainable)) {
      for (boolean training : new boolean[] {true, true, false}) {
        call.train(training);
        graph.train(training);
        Tensor loss = number();
        call.lossAndGradient(hidden, 0, teacher, null, loss, null, torch.zeros(2, 6, 13));
        assertTrue(loss.equal(graph.forward(hidden, 0, teacher).loss()));
      }
    }
  }

  @Test
  void namesWhatIsWrongAndWritesNothing() {
    Tensor hidden = torch.randn(2, 6, 13);
    Tensor teacher = torch.randn(2, 6, 5);
    Tensor gradient = torch.full(new long[] {2, 6, 13}, new Scalar(7.0));
    Tensor loss = number().fill_(new Scalar(7.0));
    Tensor cosine = torch.zeros(2, 6);
    assertMessage(
        "gradHidden must have shape [2, 6, 13], found [2, 5, 13]",
        () ->
            alignment.lossAndGradient(
                hidden, 0, teacher, null, loss, cosine, torch.zeros(2, 5, 13)));
    assertMessage(
        "tokens 1 to 6 must lie within hidden, found 6 tokens",
        () -> alignment.lossAndGradient(hidden, 1, teacher, null, loss, cosine, gradient));
    assertMessage(
        "gradHidden must have shape [2, 6, 13], found [2, 6]",
        () -> alignment.lossAndGradient(hidden, 0, teacher, null, loss, cosine, torch.zeros(2, 6)));
    assertMessage(
        "hidden must be stored, found a negated view; resolve_neg() stores it",
        () ->
            alignment.lossAndGradient(
                hidden._neg_view(), 0, teacher, null, loss, cosine, gradient));
    assertMessage(
        "teacher must be stored, found a negated view; resolve_neg() stores it",
        () ->
            alignment.lossAndGradient(
                hidden, 0, teacher._neg_view(), null, loss, cosine, gradient));
    assertMessage(
        "gradHidden must be stored, found a negated view; resolve_neg() stores it",
        () ->
            alignment.lossAndGradient(
                hidden, 0, teacher, null, loss, cosine, gradient._neg_view()));
    assertMessage(
        "loss must be stored, found a negated view; resolve_neg() stores it",
        () ->
            alignment.lossAndGradient(
                hidden, 0, teacher, null, loss._neg_view(), cosine, gradient));
    assertMessage(
        "cosine must be stored, found a negated view; resolve_neg() stores it",
        () ->
            alignment.lossAndGradient(
                hidden, 0, teacher, null, loss, cosine._neg_view(), gradient));
    assertMessage(
        "loss must have shape [], found [1]",
        () ->
            alignment.lossAndGradient(hidden, 0, teacher, null, torch.zeros(1), cosine, gradient));
    assertMessage(
        "cosine must have shape [2, 6], found [6, 2]",
        () ->
            alignment.lossAndGradient(hidden, 0, teacher, null, loss, torch.zeros(6, 2), gradient));
    String strided =
        assertThrows(
                IllegalArgumentException.class,
                () ->
                    alignment.lossAndGradient(
                        torch.randn(2, 13, 6).transpose(1, 2),
                        0,
                        teacher,
                        null,
                        loss,
                        cosine,
                        gradient))
            .getMessage();
    assertTrue(strided.contains("hidden") && strided.contains("stride"), strided);
    assertTrue(loss.eq(new Scalar(7.0)).item_bool());
    assertTrue(gradient.eq(new Scalar(7.0)).all().item_bool());
    assertEquals(0.0, cosine.abs().sum().item_double());

    alignment.close();
    assertThrows(
        IllegalStateException.class,
        () -> alignment.lossAndGradient(hidden, 0, teacher, null, loss, cosine, gradient));
  }

  @Test
  void makesNoGarbage() {
    Tensor hidden = torch.randn(2, 6, 13);
    Tensor teacher = torch.randn(2, 5, 5);
    Tensor weights = torch.rand(2, 5);
    Tensor loss = number();
    Tensor cosine = torch.zeros(2, 5);
    Tensor gradient = torch.zeros(2, 6, 13);
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    int calls = 500;
    long least = Long.MAX_VALUE;
    // The least of several rounds: the JVM may allocate on its own behalf now and then.
    for (int round = 0; round < 6; round++) {
      long before = threads.getCurrentThreadAllocatedBytes();
      for (int call = 0; call < calls; call++) {
        alignment.lossAndGradient(hidden, 1, teacher, weights, loss, cosine, gradient);
      }
      least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
    }
    // An object in every tenth call would be more.
    assertTrue(least < calls, least + " bytes in " + calls + " calls");
  }
}
