package org.sightline.autograd;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Edge;
import org.bytedeco.pytorch.EdgeVector;
import org.bytedeco.pytorch.FunctionPostHook;
import org.bytedeco.pytorch.FunctionPreHook;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Node;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.sightline.binding.Scopes;

/**
 * One call of a {@link CustomFunction} in libtorch's graph.
 *
 * <p>The presets cannot subclass {@code Node}, but they can hook one (bytedeco/javacpp-presets
 * #1706). So the call borrows a built-in node, that of a {@code cat}, and makes it ours:
 *
 * <ul>
 *   <li>its next edges are pointed at the real inputs;
 *   <li>a pre-hook takes the incoming gradients away and hands it one undefined tensor, at which
 *       the built-in code does nothing and the engine checks no shape;
 *   <li>a post-hook runs the user's backward and returns its gradients;
 *   <li>{@code create_gradient_edge} makes the outputs point at it.
 * </ul>
 *
 * <p>libtorch holds Java hooks weakly, so {@link #ALIVE} holds them until the graph is gone. Two
 * {@link GraphToken}s tell: one more edge leads to a {@code mul} node that saves the first, freed
 * as soon as a walk without {@code retain_graph} has passed, and whose own leaf is the second,
 * freed when the graph is destroyed.
 */
final class FunctionNode {
  /** Calls whose node still exists in some graph. */
  private static final Set<FunctionNode> ALIVE = ConcurrentHashMap.newKeySet();

  private final CustomFunction function;
  private final FunctionContext context;
  private final TensorSpec[] inputs;
  private final TensorSpec[] outputs;
  private final PreHook preHook = new PreHook();
  private final PostHook postHook = new PostHook();
  // Between pre-hook and post-hook, which the engine runs in one go on one thread.
  private final ThreadLocal<List<Tensor>> upstream = new ThreadLocal<>();

  private FunctionNode(
      CustomFunction function, FunctionContext context, TensorSpec[] inputs, TensorSpec[] outputs) {
    this.function = function;
    this.context = context;
    this.inputs = inputs;
    this.outputs = outputs;
    Scopes.own(preHook);
    Scopes.own(postHook);
  }

  static int alive() {
    return ALIVE.size();
  }

  static List<Tensor> run(CustomFunction function, Tensor[] inputs) {
    String name = function.name();
    boolean[] needs = new boolean[inputs.length];
    boolean recording = false;
    for (int i = 0; i < inputs.length; i++) {
      Objects.requireNonNull(inputs[i], name + ": input " + i + " is null");
      needs[i] = GradMode.is_enabled() && inputs[i].requires_grad();
      recording |= needs[i];
    }
    FunctionContext context = new FunctionContext(name, needs, recording);
    boolean linked = false;
    try {
      List<Tensor> results =
          Scopes.scopedAll(
              () -> {
                List<Tensor> outputs = forward(function, context, inputs);
                if (context.isRecording()) {
                  link(function, context, inputs, outputs);
                }
                return outputs;
              });
      linked = recording;
      return results;
    } finally {
      if (!linked) {
        context.release();
      }
    }
  }

  /** Runs the user's forward; the results share no graph with the inputs. */
  private static List<Tensor> forward(
      CustomFunction function, FunctionContext context, Tensor[] inputs) {
    try (NoGradGuard noGrad = new NoGradGuard()) {
      List<Tensor> detached = new ArrayList<>(inputs.length);
      for (Tensor input : inputs) {
        detached.add(input.detach());
      }
      List<Tensor> outputs =
          Objects.requireNonNull(
              function.forward(context, List.copyOf(detached)),
              () -> function.name() + ".forward returned null");
      if (outputs.isEmpty()) {
        throw new IllegalStateException(function.name() + ".forward returned no output");
      }
      List<Tensor> results = new ArrayList<>(outputs.size());
      for (int i = 0; i < outputs.size(); i++) {
        Tensor output = outputs.get(i);
        if (output == null) {
          throw new NullPointerException(function.name() + ".forward: output " + i + " is null");
        }
        // A fresh handle: an output may be one of the inputs, or be kept by the function.
        results.add(output.detach());
      }
      return List.copyOf(results);
    }
  }

  private static void link(
      CustomFunction function, FunctionContext context, Tensor[] inputs, List<Tensor> results) {
    TensorSpec[] inputSpecs = TensorSpec.of(List.of(inputs));
    TensorSpec[] outputSpecs = TensorSpec.of(results);
    FunctionNode call = new FunctionNode(function, context, inputSpecs, outputSpecs);
    ALIVE.add(call);
    Tensor destroyed = GraphToken.create(call::close);
    Tensor released = GraphToken.create(context::release);
    Tensor watch = destroyed.set_requires_grad(true).mul(released);

    TensorVector parts = new TensorVector();
    EdgeVector edges = new EdgeVector();
    for (int i = 0; i < inputs.length; i++) {
      parts.push_back(watch);
      edges.push_back(context.needsGradient(i) ? edgeOf(inputs[i]) : new Edge());
    }
    parts.push_back(watch);
    edges.push_back(edgeOf(watch));

    Node node = torch.cat(parts).grad_fn();
    node.clear_input_metadata();
    node.set_next_edges(edges);
    node.add_pre_hook(call.preHook);
    node.add_post_hook(call.postHook);
    for (int i = 0; i < outputSpecs.length; i++) {
      if (outputSpecs[i].isDifferentiable()) {
        torch.create_gradient_edge(results.get(i), node);
      }
    }
  }

  /** The edge that leads to what a tensor was computed from, or to its gradient. */
  static Edge edgeOf(Tensor tensor) {
    if (tensor.is_leaf()) {
      // A leaf's edge leads to its AccumulateGrad node, which only an operation on it reveals.
      return tensor.view_as(tensor).grad_fn().next_edge(0);
    }
    return new Edge(tensor.grad_fn(), (int) tensor.output_nr());
  }

  private void close() {
    ALIVE.remove(this);
    context.release();
    preHook.close();
    postHook.close();
  }

  /** Takes the incoming gradients out of the engine's vector, which is changed in place. */
  private void takeUpstream(TensorVector gradients) {
    if (context.isReleased()) {
      throw new IllegalStateException(context.releasedMessage());
    }
    if (GradMode.is_enabled()) {
      throw new UnsupportedOperationException(
          function.name() + ": its backward is not differentiable (create_graph = true)");
    }
    List<Tensor> taken = new ArrayList<>(outputs.length);
    boolean any = false;
    int next = 0;
    for (TensorSpec output : outputs) {
      Tensor gradient = null;
      // Only differentiable outputs have a slot at this node.
      if (output.isDifferentiable()) {
        Tensor slot = gradients.get(next++);
        if (slot.defined()) {
          // The slot itself goes when the vector is resized.
          gradient = Scopes.own(new Tensor(slot));
          any = true;
        }
      }
      taken.add(gradient);
    }
    upstream.set(any ? taken : null);
    gradients.resize(1);
    gradients.put(0, new Tensor());
  }

  /**
   * Runs the user's backward and writes its gradients into the engine's vector. No reference to
   * them stays behind, so that a leaf can take its gradient over without a copy.
   */
  private void runBackward(TensorVector result) {
    List<Tensor> taken = upstream.get();
    upstream.remove();
    if (taken == null) {
      return;
    }
    try (NoGradGuard noGrad = new NoGradGuard()) {
      List<Tensor> gradients = new ArrayList<>(outputs.length);
      for (int i = 0; i < outputs.length; i++) {
        Tensor gradient = taken.get(i);
        boolean fill = gradient == null && context.materializesGradients();
        gradients.add(fill ? outputs[i].zeros() : gradient);
      }
      List<Tensor> returned = function.backward(context, Collections.unmodifiableList(gradients));
      check(returned);
      for (int i = 0; i < inputs.length; i++) {
        Tensor gradient = returned.get(i);
        if (gradient != null && context.needsGradient(i)) {
          result.put(i, gradient);
        }
      }
    } finally {
      for (Tensor gradient : taken) {
        if (gradient != null) {
          gradient.close();
        }
      }
    }
  }

  /** The engine does not look at what a post-hook returns, so a wrong shape must stop here. */
  private void check(List<Tensor> returned) {
    String name = function.name();
    if (returned == null || returned.size() != inputs.length) {
      throw new IllegalStateException(
          "%s.backward must return one gradient per input: expected %s, found %s"
              .formatted(name, inputs.length, returned == null ? "null" : returned.size()));
    }
    for (int i = 0; i < inputs.length; i++) {
      Tensor gradient = returned.get(i);
      if (gradient == null || !context.needsGradient(i)) {
        continue;
      }
      TensorSpec found = TensorSpec.of(gradient);
      if (!found.matches(inputs[i])) {
        throw new IllegalStateException(
            "%s.backward: gradient of input %s must be %s, found %s"
                .formatted(name, i, inputs[i], found));
      }
    }
  }

  private final class PreHook extends FunctionPreHook {
    @Override
    public TensorVector apply(TensorVector gradients) {
      try (PointerScope scope = new PointerScope()) {
        takeUpstream(gradients);
      }
      return gradients;
    }
  }

  private final class PostHook extends FunctionPostHook {
    @Override
    public TensorVector apply(TensorVector outputs, TensorVector inputs) {
      try (PointerScope scope = new PointerScope()) {
        runBackward(outputs);
      }
      return outputs;
    }
  }
}
