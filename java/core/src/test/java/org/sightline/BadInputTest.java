package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.function.Executable;

/**
 * What public methods do with input of every wrong kind: an {@link IllegalArgumentException} that
 * names the argument, and nothing of libtorch's or JavaCPP's; a {@link NullPointerException} that
 * names it for null. Shapes and ranges are in the tests of each class.
 */
class BadInputTest extends ScopedTest {
  private static final LoraConfig CONFIG = LoraConfig.of(2, 2);

  private AlignmentProjector projector;
  private AlignmentLoss alignment;
  private LoraLinear linear;

  BadInputTest() {
    super(18);
  }

  @BeforeEach
  void open() {
    projector = new AlignmentProjector(ProjectorConfig.of(8, 6, 5));
    alignment = new AlignmentLoss(projector);
    linear = linear(torch.randn(6, 5), null);
  }

  @AfterEach
  void close() {
    linear.close();
    alignment.close();
    projector.close();
  }

  private static LoraLinear linear(Tensor weight, Tensor bias) {
    return new LoraLinear(weight, bias, CONFIG, DType.FLOAT32, 0);
  }

  private record Case(String message, Executable call) {}

  @TestFactory
  Stream<DynamicTest> isRefusedByName() {
    Tensor h = torch.randn(2, 6, 8);
    Tensor t = torch.randn(2, 4, 5);
    Tensor x = torch.randn(3, 5);
    Tensor w = torch.randn(6, 5);
    List<Case> cases =
        List.of(
            // Layouts without strides.
            new Case("x must be Strided, found Sparse", () -> linear.forward(x.to_sparse())),
            new Case("weight must be Strided, found Sparse", () -> linear(w.to_sparse(), null)),
            new Case(
                "bias must be Strided, found Sparse", () -> linear(w, torch.randn(6).to_sparse())),
            new Case(
                "hidden must be Strided, found Sparse",
                () -> alignment.forward(h.to_sparse(), 0, t)),
            new Case(
                "teacher must be Strided, found Sparse",
                () -> alignment.forward(h, 0, t.to_sparse())),
            new Case(
                "tokenWeight must be Strided, found Sparse",
                () -> alignment.forward(h, 0, t, torch.ones(2, 4).to_sparse())),
            new Case("parameter 0 must be Strided, found Sparse", () -> adamw(w.to_sparse())),
            new Case("gradient 0 must be Strided, found Sparse", () -> step(w.to_sparse())),
            // What memory does not hold as it reads.
            new Case("weight must be stored, found a negated view", () -> linear(neg(w), null)),
            new Case(
                "tokenWeight must be stored, found a negated view",
                () -> alignment.forward(h, 0, t, neg(torch.ones(2, 4)))),
            new Case("parameter 0 must be stored, found a negated view", () -> adamw(neg(w))),
            // Types.
            new Case(
                "x must be Float or BFloat16, found Long", () -> linear.forward(to(x, "Long"))),
            new Case(
                "x must be Float or BFloat16, found ComplexFloat",
                () -> linear.forward(to(x, "ComplexFloat"))),
            new Case(
                "x must be Float or BFloat16, found Half", () -> linear.forward(to(x, "Half"))),
            new Case(
                "bias must be Float or BFloat16, found Int",
                () -> linear(w, to(torch.ones(6), "Int"))),
            new Case(
                "teacher must be Float or BFloat16, found Double",
                () -> alignment.forward(h, 0, to(t, "Double"))),
            new Case(
                "token_weight: ",
                () -> alignment.forward(h, 0, t, to(torch.ones(2, 4), "BFloat16"))),
            new Case("gradient 0 must be Float or BFloat16, found Half", () -> step(to(w, "Half"))),
            // Layouts that the kernels do not know.
            new Case(
                "linears[0].weight: strides [1,6], expected 1 in the last dimension",
                () -> linear(torch.randn(5, 6).t(), null).forward(torch.randn(3, 5))),
            new Case("parameter 0 must be contiguous", () -> adamw(torch.randn(5, 6).t())),
            new Case(
                "weight must be [N,K], found shape [2, 3, 4]",
                () -> linear(torch.ones(2, 3, 4), null)),
            new Case(
                "weight must have elements, found shape [5, 0]",
                () -> linear(torch.ones(5, 0), null)),
            new Case(
                "weight must have elements, found shape [0, 5]",
                () -> linear(torch.ones(0, 5), null)),
            new Case(
                "linears must have at least 1 layer, found none",
                () -> LoraLinear.forward(x, List.of())),
            new Case(
                "projector parameter ", () -> AlignmentProjector.of(projector.config(), Map.of())));
    return cases.stream()
        .map(
            one ->
                DynamicTest.dynamicTest(
                    one.message(),
                    () -> {
                      Throwable thrown = thrown(one.call());
                      assertEquals(
                          IllegalArgumentException.class, thrown.getClass(), () -> "" + thrown);
                      assertTrue(thrown.getMessage().startsWith(one.message()), thrown::getMessage);
                    }));
  }

  @TestFactory
  Stream<DynamicTest> nullIsRefusedByName() {
    Tensor h = torch.randn(2, 6, 8);
    Tensor t = torch.randn(2, 4, 5);
    Map<String, Executable> cases =
        Map.of(
            "weight", () -> linear(null, null),
            "config", () -> new LoraLinear(torch.randn(6, 5), null, null, DType.FLOAT32, 0),
            "x", () -> linear.forward(null),
            "hidden", () -> alignment.forward(null, 0, h),
            "teacher", () -> alignment.forward(h, 0, null),
            "loss", () -> alignment.lossAndGradient(h, 0, t, null, null, null, h),
            "gradHidden", () -> alignment.lossAndGradient(h, 0, t, null, t, null, null),
            "projector", () -> new AlignmentLoss(null),
            "parameter 1",
                () -> new AdamW(Arrays.asList(torch.ones(2), null), AdamW.Config.defaults()));
    return cases.entrySet().stream()
        .map(
            one ->
                DynamicTest.dynamicTest(
                    one.getKey(),
                    () -> {
                      Throwable thrown = thrown(one.getValue());
                      assertEquals(
                          NullPointerException.class, thrown.getClass(), () -> "" + thrown);
                      assertEquals(one.getKey(), thrown.getMessage());
                    }));
  }

  /** Where a copy is made anyway, a negation yet to be done is done. */
  @Test
  void negatedViewsAreReadAsTheyRead() {
    Tensor x = torch.randn(3, 5);
    assertTrue(torch.equal(linear.forward(x.neg()), linear.forward(neg(x))));
    Tensor h = torch.randn(2, 6, 8);
    Tensor t = torch.randn(2, 6, 5);
    assertTrue(
        torch.equal(
            alignment.forward(h.neg(), 0, t.neg()).cosine(),
            alignment.forward(neg(h), 0, neg(t)).cosine()));
    Tensor a = torch.randn(4).set_requires_grad(true);
    Tensor b = a.detach().clone().set_requires_grad(true);
    Tensor gradient = torch.randn(4);
    try (AdamW one = adamw(a);
        AdamW two = adamw(b)) {
      a.mutable_grad().put(gradient.neg());
      b.mutable_grad().put(neg(gradient));
      one.step();
      two.step();
    }
    assertTrue(torch.equal(a, b));
  }

  private static Throwable thrown(Executable call) {
    try {
      call.execute();
    } catch (Throwable thrown) {
      return thrown;
    }
    return new AssertionError("nothing was thrown");
  }

  private static Tensor to(Tensor tensor, String dtype) {
    return tensor.to(ScalarType.valueOf(dtype));
  }

  /** The negative of the values, not yet computed. */
  private static Tensor neg(Tensor tensor) {
    try (NoGradGuard noGrad = new NoGradGuard()) {
      Tensor view = tensor._neg_view();
      assertTrue(view.is_neg());
      return view;
    }
  }

  private static AdamW adamw(Tensor parameter) {
    return new AdamW(List.of(parameter), AdamW.Config.defaults());
  }

  /** A step with such a gradient. */
  private static void step(Tensor gradient) {
    Tensor parameter = torch.zeros(6, 5).set_requires_grad(true);
    try (AdamW adamw = adamw(parameter)) {
      parameter.mutable_grad().put(gradient);
      adamw.step();
    }
  }
}
