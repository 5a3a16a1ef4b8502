package org.sightline.train;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/**
 * Weighted means of named scalar tensors, kept in fp64 on their device until they are asked for.
 */
final class ScalarMeans implements AutoCloseable {
  private List<String> names;
  private Tensor sums;
  private double weights;

  /** Adds one value of each; the names and their order are the same every time. */
  void add(Map<String, Tensor> scalars, double weight) {
    try (PointerScope scope = new PointerScope();
        NoGradGuard noGrad = new NoGradGuard()) {
      List<Tensor> values = new ArrayList<>();
      for (Map.Entry<String, Tensor> entry : scalars.entrySet()) {
        Tensor value = entry.getValue();
        if (value.numel() != 1) {
          throw new IllegalStateException(
              entry.getKey() + " must be a scalar, found " + value.numel() + " elements");
        }
        values.add(value.detach().to(torch.ScalarType.Double).reshape(1));
      }
      Tensor row = torch.cat(new TensorVector(values.toArray(new Tensor[0])));
      add(List.copyOf(scalars.keySet()), row.mul_(new Scalar(weight)), weight);
    }
  }

  /** Adds what another has gathered and empties it. */
  void addAll(ScalarMeans other) {
    try (PointerScope scope = new PointerScope();
        NoGradGuard noGrad = new NoGradGuard()) {
      add(other.names, other.sums, other.weights);
    }
    other.close();
  }

  private void add(List<String> found, Tensor row, double weight) {
    if (names != null && !names.equals(found)) {
      throw new IllegalStateException(
          "losses and metrics must be the same in every batch, expected %s, found %s"
              .formatted(names, found));
    }
    if (sums == null) {
      sums = row.clone().retainReference();
    } else {
      sums.add_(row);
    }
    names = found;
    weights += weight;
  }

  /** The means since the last call, in one transfer from the device; starts afresh. */
  Map<String, Double> take() {
    Map<String, Double> means = new LinkedHashMap<>();
    try (PointerScope scope = new PointerScope()) {
      double[] values = new double[names.size()];
      sums.cpu().data_ptr_double().get(values);
      for (int i = 0; i < values.length; i++) {
        means.put(names.get(i), values[i] / weights);
      }
    }
    close();
    return means;
  }

  /** Whether nothing was added since the last call of {@link #take}. */
  boolean isEmpty() {
    return sums == null;
  }

  List<String> names() {
    return names;
  }

  double weights() {
    return weights;
  }

  /** Their weighted sums [n], fp64, in the order of the names. */
  Tensor sums() {
    return sums;
  }

  /** Takes the place of what was gathered. */
  void restore(List<String> names, Tensor sums, double weights) {
    close();
    this.names = List.copyOf(names);
    this.sums = sums.clone().retainReference();
    this.weights = weights;
  }

  @Override
  public void close() {
    if (sums != null) {
      sums.close();
    }
    sums = null;
    names = null;
    weights = 0;
  }
}
