package org.sightline.autograd;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Random;
import java.util.function.Function;
import java.util.stream.LongStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Compares the gradients of a function with central finite differences, element by element.
 *
 * <p>The outputs are projected on seeded random directions and summed in fp64, so that one scalar
 * stands for all of them. An element passes if |analytic − numeric| ≤ absolute + relative · largest
 * |gradient| of its input.
 */
public final class GradCheck {
  private GradCheck() {}

  /**
   * How closely to look.
   *
   * @param step h in (f(x + h) − f(x − h)) / 2h
   * @param relative tolerance in parts of the input's largest gradient
   * @param absolute tolerance besides
   * @param maxElements elements looked at per input, drawn at random if there are more
   * @param seed of directions and draws
   */
  public record Options(double step, double relative, double absolute, int maxElements, long seed) {
    public Options {
      requirePositive("step", step);
      requirePositive("maxElements", maxElements);
      if (!(relative >= 0 && absolute >= 0)) {
        throw new IllegalArgumentException(
            "tolerances must be at least 0, found " + relative + " and " + absolute);
      }
    }

    /** For functions computed in fp64: both errors of the difference are near 1e-10. */
    public static Options float64() {
      return new Options(1e-6, 1e-6, 1e-8, 200, 0);
    }

    /**
     * For functions computed in fp32 on values near 1: rounding of the outputs, 6e-8, over the step
     * and the cube of the step balance near 1e-2.
     */
    public static Options float32() {
      return new Options(1e-2, 5e-3, 1e-4, 200, 0);
    }

    private static void requirePositive(String name, double value) {
      if (!(value > 0)) {
        throw new IllegalArgumentException(name + " must be above 0, found " + value);
      }
    }
  }

  /**
   * Checks the gradients of every input that requires one.
   *
   * @param function the same outputs for the same inputs each time it is called
   * @param inputs contiguous leaves; their elements are changed and restored
   * @throws AssertionError naming input, index, analytic and numeric gradient of the first element
   *     that differs
   * @throws IllegalArgumentException if no input requires a gradient, or one that does is not a
   *     contiguous leaf
   */
  public static void check(
      Function<List<Tensor>, List<Tensor>> function, List<Tensor> inputs, Options options) {
    Objects.requireNonNull(function, "function");
    try (PointerScope scope = new PointerScope()) {
      Tensor[] analytic = analytic(function, inputs, options.seed());
      Random random = new Random(options.seed());
      for (int i = 0; i < inputs.size(); i++) {
        if (inputs.get(i).requires_grad()) {
          checkInput(function, inputs, i, analytic[i], options, random);
        }
      }
    }
  }

  private static Tensor[] analytic(
      Function<List<Tensor>, List<Tensor>> function, List<Tensor> inputs, long seed) {
    TensorVector wanted = new TensorVector();
    for (int i = 0; i < inputs.size(); i++) {
      Tensor input = inputs.get(i);
      if (input.requires_grad()) {
        if (!input.is_leaf() || !input.is_contiguous()) {
          throw new IllegalArgumentException("input " + i + " must be a contiguous leaf");
        }
        wanted.push_back(input);
      }
    }
    if (wanted.empty()) {
      throw new IllegalArgumentException("at least one input must require a gradient, found none");
    }
    Tensor scalar = project(function.apply(inputs), seed);
    TensorVector found =
        torch.grad(
            new TensorVector(scalar),
            wanted,
            new TensorVector(),
            new BoolOptional(),
            false,
            /* allow_unused= */ true);
    Tensor[] gradients = new Tensor[inputs.size()];
    int next = 0;
    for (int i = 0; i < gradients.length; i++) {
      if (inputs.get(i).requires_grad()) {
        Tensor gradient = found.get(next++);
        // Undefined means zero, which the differences must then confirm.
        gradients[i] =
            (gradient.defined() ? gradient : torch.zeros_like(inputs.get(i)))
                .to(ScalarType.Double)
                .contiguous()
                .view(-1);
      }
    }
    return gradients;
  }

  private static void checkInput(
      Function<List<Tensor>, List<Tensor>> function,
      List<Tensor> inputs,
      int index,
      Tensor analytic,
      Options options,
      Random random) {
    long size = analytic.numel();
    if (size == 0) {
      return;
    }
    double tolerance = options.absolute() + options.relative() * analytic.abs().max().item_double();
    Tensor flat = inputs.get(index).detach().view(-1);
    long[] elements =
        size <= options.maxElements()
            ? LongStream.range(0, size).toArray()
            : random.longs(options.maxElements(), 0, size).toArray();
    for (long element : elements) {
      try (PointerScope scope = new PointerScope()) {
        double expected = analytic.select(0, element).item_double();
        double numeric = difference(function, inputs, flat.narrow(0, element, 1), options);
        if (!(Math.abs(expected - numeric) <= tolerance)) {
          throw new AssertionError(
              String.format(
                  Locale.ROOT,
                  "gradient of input %d at %s: analytic %.9g, numeric %.9g, difference %.3g,"
                      + " tolerance %.3g",
                  index,
                  Arrays.toString(position(inputs.get(index), element)),
                  expected,
                  numeric,
                  Math.abs(expected - numeric),
                  tolerance));
        }
      }
    }
  }

  private static double difference(
      Function<List<Tensor>, List<Tensor>> function,
      List<Tensor> inputs,
      Tensor element,
      Options options) {
    try (NoGradGuard noGrad = new NoGradGuard()) {
      double x = element.item_double();
      element.fill_(new Scalar(x + options.step()));
      double above = element.item_double();
      double plus = project(function.apply(inputs), options.seed()).item_double();
      element.fill_(new Scalar(x - options.step()));
      double below = element.item_double();
      double minus = project(function.apply(inputs), options.seed()).item_double();
      element.fill_(new Scalar(x));
      // The steps really taken: x ± h is rounded to the input's dtype.
      return (plus - minus) / (above - below);
    }
  }

  /** Σ over outputs of ⟨output, direction⟩ in fp64; the directions depend on the seed alone. */
  private static Tensor project(List<Tensor> outputs, long seed) {
    Generator generator = torch.createCPUGenerator(seed);
    GeneratorOptional from = new GeneratorOptional(generator);
    Tensor sum = null;
    for (Tensor output : outputs) {
      Tensor wide = output.to(ScalarType.Double);
      Tensor direction = torch.empty_like(wide).detach().uniform_(-1, 1, from);
      Tensor term = wide.mul(direction).sum();
      sum = sum == null ? term : sum.add(term);
    }
    if (sum == null) {
      throw new IllegalArgumentException("function must return at least one output, found none");
    }
    return sum;
  }

  private static long[] position(Tensor tensor, long element) {
    long[] position = tensor.shape();
    for (int i = position.length - 1; i >= 0; i--) {
      long size = position[i];
      position[i] = element % size;
      element /= size;
    }
    return position;
  }
}
