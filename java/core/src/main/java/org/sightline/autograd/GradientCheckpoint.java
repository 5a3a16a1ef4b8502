package org.sightline.autograd;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/**
 * A part of a model, a transformer block for instance, that keeps its input alone and computes
 * everything between input and output again in the backward pass (Chen et al., arXiv 1604.06174):
 * what {@code torch.utils.checkpoint} is in Python.
 *
 * <pre>{@code
 * Tensor y = new GradientCheckpoint(block::forward, block.parameters(), block.dropouts()).forward(x);
 * }</pre>
 *
 * <p>The second computation draws the same random numbers as the first: libtorch's own on the CPU
 * and those of every {@link HasRngState} given are taken back for its time. So gradients are, bit
 * for bit, those of {@code body} itself wherever its operations give the same bits twice.
 */
public final class GradientCheckpoint extends CustomFunction {
  private final UnaryOperator<Tensor> body;
  private final List<Tensor> parameters;
  private final List<? extends HasRngState> random;

  /**
   * Wraps a part of a model.
   *
   * @param body a differentiable function of its argument and the parameters, without other
   *     effects; is run once more per backward pass, perhaps on another thread
   * @param parameters the leaf tensors it uses that may require a gradient; others get none
   * @param random the sources of random numbers it draws from, besides libtorch's
   */
  public GradientCheckpoint(
      UnaryOperator<Tensor> body, List<Tensor> parameters, List<? extends HasRngState> random) {
    this.body = Objects.requireNonNull(body, "body");
    this.parameters = List.copyOf(parameters);
    this.random = List.copyOf(random);
  }

  /** {@code body} of {@code x}, differentiable. */
  public Tensor forward(Tensor x) {
    return apply(Stream.concat(Stream.of(x), parameters.stream()).toArray(Tensor[]::new)).get(0);
  }

  @Override
  protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
    if (context.isRecording()) {
      context.save(inputs.get(0), torch.getDefaultCPUGenerator().get_state());
      context.state(rngStates());
    }
    return List.of(body.apply(inputs.get(0)));
  }

  @Override
  protected List<Tensor> backward(FunctionContext context, List<Tensor> gradients) {
    Tensor x = context.saved(0).detach();
    x.set_requires_grad(context.needsGradient(0));
    Tensor y = again(x, context);

    TensorVector wanted = new TensorVector();
    List<Integer> places = new ArrayList<>();
    for (int i = 0; i < context.inputCount(); i++) {
      if (context.needsGradient(i)) {
        wanted.push_back(i == 0 ? x : parameters.get(i - 1));
        places.add(i);
      }
    }
    TensorVector found =
        torch.grad(
            new TensorVector(y),
            wanted,
            new TensorVector(gradients.get(0)),
            new BoolOptional(false),
            false,
            true);
    List<Tensor> result = new ArrayList<>();
    for (int i = 0; i < context.inputCount(); i++) {
      int place = places.indexOf(i);
      Tensor gradient = place < 0 ? null : found.get(place);
      result.add(gradient != null && gradient.defined() ? gradient : null);
    }
    return result;
  }

  /** The body of {@code x} with the random numbers of the forward pass, recording its graph. */
  private Tensor again(Tensor x, FunctionContext context) {
    Generator generator = torch.getDefaultCPUGenerator();
    Tensor state = generator.get_state();
    long[] states = rngStates();
    boolean recording = GradMode.is_enabled();
    try {
      generator.set_state(context.saved(1));
      setRngStates(context.state(long[].class));
      GradMode.set_enabled(true);
      return body.apply(x);
    } finally {
      GradMode.set_enabled(recording);
      setRngStates(states);
      generator.set_state(state);
    }
  }

  private long[] rngStates() {
    return random.stream().mapToLong(HasRngState::rngState).toArray();
  }

  private void setRngStates(long[] states) {
    for (int i = 0; i < states.length; i++) {
      random.get(i).setRngState(states[i]);
    }
  }
}
