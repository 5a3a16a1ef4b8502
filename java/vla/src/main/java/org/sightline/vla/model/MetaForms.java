package org.sightline.vla.model;

import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * Forms of operations for tensors without memory, where libtorch's C++ has no kernel (Python
 * registers those): the same shapes and the same inputs in the graph, no values.
 */
final class MetaForms {
  private MetaForms() {}

  static Tensor layerNorm(Tensor x, Tensor weight, Tensor bias) {
    return x.sub(x.mean(new long[] {-1}, true, new ScalarTypeOptional())).mul(weight).add(bias);
  }

  /** Nothing has to be masked where there is nothing. */
  static Tensor attention(Tensor q, Tensor k, Tensor v) {
    return torch.softmax(q.matmul(k.transpose(2, 3)), -1).matmul(v);
  }

  /** As many rows of a matrix as there are indices. */
  static Tensor rows(Tensor matrix, Tensor indices) {
    long[] shape = {indices.numel(), matrix.size(1)};
    return matrix.narrow(0, 0, 1).expand(shape).contiguous();
  }
}
