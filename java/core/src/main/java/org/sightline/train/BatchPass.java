package org.sightline.train;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/** One batch through policy, teacher and losses, and backwards if asked to. */
record BatchPass<B>(Policy<B> policy, Teacher<B> teacher, LayerAlignment alignment, double lambda) {
  /**
   * How much of a batch's means a part of it makes up.
   *
   * @param samples of means over samples
   * @param labels of the action loss and the metrics, in units of {@code samples}
   */
  private record Share(double samples, double labels) {
    static final Share WHOLE = new Share(1, 1);

    Share of(double partSamples, double partLabels) {
      return new Share(samples * partSamples, labels * (partLabels / partSamples));
    }
  }

  /**
   * Runs a batch and adds its scalars to the means. What it allocates is free again when it
   * returns.
   *
   * @param aligned whether the total includes λ · alignment
   */
  void evaluate(B batch, boolean aligned, ScalarMeans means) {
    long samples = policy.batchSize(batch);
    run(batch, Share.WHOLE, aligned, false, samples == 0 ? 1 : samples, means);
  }

  /**
   * As {@link #evaluate}, and adds gradients to the parameters'.
   *
   * @param halvings how often the batch is parted in two; the gradients are the whole's
   */
  void train(B batch, int halvings, boolean aligned, ScalarMeans means) {
    train(batch, halvings, Share.WHOLE, aligned, means);
  }

  private void train(B batch, int halvings, Share share, boolean aligned, ScalarMeans means) {
    List<B> halves = halvings == 0 ? List.of() : policy.halves(batch);
    if (halves.isEmpty()) {
      // Gradients are averaged over micro-batches whatever their size, and so are their losses.
      run(batch, share, aligned, true, share.samples, means);
    }
    double samples = policy.batchSize(batch);
    double labels = policy.labels(batch);
    for (B half : halves) {
      try {
        Share part = share.of(policy.batchSize(half) / samples, policy.labels(half) / labels);
        train(half, halvings - 1, part, aligned, means);
      } finally {
        close(half);
      }
    }
  }

  private void run(
      B batch, Share share, boolean aligned, boolean backward, double weight, ScalarMeans means) {
    try (PointerScope scope = new PointerScope()) {
      PolicyOutput output = policy.forward(batch, aligned ? alignment.layers() : Set.of());
      Map<String, Tensor> scalars = new LinkedHashMap<>();
      Tensor total = times(output.actionLoss(), share.labels);
      scalars.put(MeanValues.ACTION_LOSS, total);
      if (aligned) {
        LayerAlignment.Terms terms = alignment.forward(output, features(batch));
        total = total.add(terms.loss().mul(new Scalar(lambda)));
        scalars.put(MeanValues.ALIGNMENT_LOSS, terms.loss());
        terms.cosine().forEach((layer, mean) -> scalars.put(MeanValues.COSINE + layer, mean));
      }
      scalars.put(MeanValues.TOTAL_LOSS, total);
      output
          .metrics()
          .forEach(
              (name, value) -> scalars.put(MeanValues.METRIC + name, times(value, share.labels)));
      if (backward) {
        times(total, share.samples).backward();
      }
      means.add(scalars, weight);
    }
  }

  private static Tensor times(Tensor value, double factor) {
    return factor == 1 ? value : value.mul(new Scalar(factor));
  }

  /** Once for all layers. */
  private Tensor features(B batch) {
    try (NoGradGuard noGrad = new NoGradGuard()) {
      return teacher.features(batch);
    }
  }

  /** Closes what was handed over, where that means something. */
  static void close(Object handedOver) {
    if (handedOver instanceof AutoCloseable closeable) {
      try {
        closeable.close();
      } catch (RuntimeException e) {
        throw e;
      } catch (Exception e) {
        throw new IllegalStateException("closing " + handedOver + " failed: " + e.getMessage(), e);
      }
    }
  }
}
