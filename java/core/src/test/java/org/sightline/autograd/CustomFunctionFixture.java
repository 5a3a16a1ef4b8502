package org.sightline.autograd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.sightline.ScopedTest;

/** What the tests of {@link CustomFunction} share. */
abstract class CustomFunctionFixture extends ScopedTest {
  CustomFunctionFixture() {
    super(7);
  }

  @AfterEach
  @Override
  protected final void closeScope() {
    super.closeScope();
    assertEquals(0, FunctionNode.alive(), "graph nodes left behind");
    assertEquals(0, GraphToken.alive(), "graph tokens left behind");
  }

  /** x wᵀ, with everything recorded that the tests ask about. */
  static final class MatMul extends CustomFunction {
    int backwards;

    @Override
    protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
      context.save(inputs.get(0), inputs.get(1));
      return List.of(inputs.get(0).mm(inputs.get(1).t()));
    }

    @Override
    protected List<Tensor> backward(FunctionContext context, List<Tensor> gradients) {
      backwards++;
      Tensor dy = gradients.get(0);
      return Arrays.asList(
          context.needsGradient(0) ? dy.mm(context.saved(1)) : null,
          context.needsGradient(1) ? dy.t().mm(context.saved(0)) : null);
    }
  }

  /** (x + y, x · y, rounded x as int64): several outputs, one of them without gradient. */
  static final class SumAndProduct extends CustomFunction {
    @Override
    protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
      Tensor x = inputs.get(0);
      Tensor y = inputs.get(1);
      context.save(x, y);
      return List.of(x.add(y), x.round().to(ScalarType.Long), x.mul(y));
    }

    @Override
    protected List<Tensor> backward(FunctionContext context, List<Tensor> gradients) {
      Tensor sum = gradients.get(0);
      Tensor product = gradients.get(2);
      return List.of(
          sum.add(product.mul(context.saved(1))), sum.add(product.mul(context.saved(0))));
    }
  }

  /** A forward or a backward pass. */
  interface Pass {
    List<Tensor> run(FunctionContext context, List<Tensor> tensors);
  }

  static CustomFunction function(Pass forward, Pass backward) {
    return new CustomFunction() {
      @Override
      protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
        return forward.run(context, inputs);
      }

      @Override
      protected List<Tensor> backward(FunctionContext context, List<Tensor> gradients) {
        return backward.run(context, gradients);
      }

      @Override
      protected String name() {
        return "Function";
      }
    };
  }

  static Tensor leaf(long... shape) {
    return torch.randn(shape).set_requires_grad(true);
  }

  static void backward(Tensor loss, boolean retainGraph) {
    torch.backward(
        new TensorVector(loss),
        new TensorVector(),
        new BoolOptional(retainGraph),
        false,
        new TensorVector());
  }

  /**
   * The gradient with a graph of its own (create_graph). Returned, not accumulated: a gradient that
   * hangs at its leaf would keep itself alive, of which libtorch warns on the console.
   */
  static Tensor differentiableGradient(Tensor loss, Tensor leaf) {
    TensorVector gradients =
        torch.grad(
            new TensorVector(loss),
            new TensorVector(leaf),
            new TensorVector(),
            new BoolOptional(true),
            true,
            false);
    return gradients.get(0);
  }

  static void assertSame(Tensor expected, Tensor actual) {
    assertTrue(actual.defined(), "gradient is undefined");
    assertTrue(torch.equal(expected, actual), "tensors differ");
  }
}
