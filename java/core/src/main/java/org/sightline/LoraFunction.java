package org.sightline;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.autograd.CustomFunction;
import org.sightline.autograd.FunctionContext;

/**
 * Adapted linear layers on one input as one differentiable operation. Inputs: x, then A and B of
 * each layer; outputs: y of each layer.
 */
final class LoraFunction extends CustomFunction {
  private final List<NativeLora.Adapter> layers;
  private final double dropout;

  LoraFunction(List<NativeLora.Adapter> layers, double dropout) {
    this.layers = layers;
    this.dropout = dropout;
  }

  /** The outputs of the layers for {@code x}. */
  List<Tensor> of(Tensor x) {
    Stream<Tensor> adapters = layers.stream().flatMap(layer -> Stream.of(layer.a(), layer.b()));
    return apply(Stream.concat(Stream.of(x), adapters).toArray(Tensor[]::new));
  }

  @Override
  protected String name() {
    return "LoraLinear";
  }

  @Override
  protected List<Tensor> forward(FunctionContext context, List<Tensor> inputs) {
    Tensor x = Tensors.withContiguousRows(flatten(inputs.get(0)));
    long rows = rows(x);
    List<Tensor> outputs = new ArrayList<>();
    List<Tensor> y = new ArrayList<>();
    List<Tensor> s = new ArrayList<>();
    ScalarType dtype = Tensors.dtype(x);
    for (int i = 0; i < layers.size(); i++) {
      long[] shape = Tensors.shape(inputs.get(0));
      shape[shape.length - 1] = layers.get(i).weight().size(0);
      Tensor output = Tensors.empty(x, dtype, shape);
      outputs.add(output);
      y.add(flatten(output));
      s.add(
          context.needsGradient(2 + 2 * i)
              ? Tensors.empty(x, ScalarType.Float, rows, layers.get(i).b().size(1))
              : null);
    }
    NativeLora.forward(x, dropout, layers, y, s);
    if (context.isRecording()) {
      context.materializeGradients(false);
      context.save(x);
      for (int i = 0; i < layers.size(); i++) {
        context.save(layers.get(i).weight(), inputs.get(1 + 2 * i), inputs.get(2 + 2 * i));
      }
      // At the end, as there may be fewer of them.
      s.stream().filter(t -> t != null).forEach(context::save);
    }
    return outputs;
  }

  @Override
  protected List<Tensor> backward(FunctionContext context, List<Tensor> upstream) {
    Tensor x = context.saved(0);
    Tensor[] results = new Tensor[1 + 2 * layers.size()];
    List<NativeLora.Adapter> adapters = new ArrayList<>();
    List<NativeLora.Gradients> gradients = new ArrayList<>();
    int nextS = 1 + 3 * layers.size();
    for (int i = 0; i < layers.size(); i++) {
      int a = 1 + 2 * i;
      int b = 2 + 2 * i;
      Tensor s = context.needsGradient(b) ? context.saved(nextS++) : null;
      if (upstream.get(i) == null) {
        continue;
      }
      NativeLora.Adapter adapter = savedAdapter(context, i);
      adapters.add(adapter);
      results[a] = context.needsGradient(a) ? like(adapter.a()) : null;
      results[b] = context.needsGradient(b) ? like(adapter.b()) : null;
      Tensor dy = Tensors.withContiguousRows(flatten(upstream.get(i)));
      gradients.add(new NativeLora.Gradients(s, dy, results[a], results[b]));
    }
    Tensor dx = context.needsGradient(0) ? like(x) : null;
    NativeLora.backward(x, dropout, adapters, gradients, dx);
    if (dx != null) {
      long[] shape = Tensors.shape(upstream.stream().filter(t -> t != null).findFirst().get());
      shape[shape.length - 1] = x.size(x.dim() - 1);
      results[0] = dx.view(shape);
    }
    return Arrays.asList(results);
  }

  /** Without bias, which no gradient depends on. */
  private NativeLora.Adapter savedAdapter(FunctionContext context, int i) {
    int first = 1 + 3 * i;
    return new NativeLora.Adapter(
        context.saved(first),
        null,
        context.saved(first + 1),
        context.saved(first + 2),
        layers.get(i).scale(),
        layers.get(i).dropoutSeed());
  }

  private static Tensor like(Tensor tensor) {
    return Tensors.empty(tensor, Tensors.dtype(tensor), Tensors.shape(tensor));
  }

  /** The kernels know at most three dimensions; more are as good as two. */
  private static Tensor flatten(Tensor tensor) {
    return tensor.dim() <= 3 ? tensor : tensor.reshape(-1, tensor.size(tensor.dim() - 1));
  }

  private static long rows(Tensor x) {
    long rows = 1;
    for (int i = 0; i < x.dim() - 1; i++) {
      rows *= x.size(i);
    }
    return rows;
  }
}
