package org.sightline.train;

import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/** One batch through policy, teacher and losses, and backwards if asked to. */
record BatchPass<B>(Policy<B> policy, Teacher<B> teacher, LayerAlignment alignment, double lambda) {
  /**
   * Runs the next batch and adds its scalars to the means. What it allocates is free again when it
   * returns.
   *
   * @param aligned whether the total includes λ · alignment
   * @param backward whether gradients are added to the parameters'
   * @return the number of samples, 0 if unknown
   */
  long run(Iterator<? extends B> batches, boolean aligned, boolean backward, ScalarMeans means) {
    try (PointerScope scope = new PointerScope()) {
      B batch = batches.next();
      try {
        PolicyOutput output = policy.forward(batch, aligned ? alignment.layers() : Set.of());
        Map<String, Tensor> scalars = new LinkedHashMap<>();
        Tensor total = output.actionLoss();
        scalars.put(MeanValues.ACTION_LOSS, total);
        if (aligned) {
          LayerAlignment.Terms terms = alignment.forward(output, features(batch));
          total = total.add(terms.loss().mul(new Scalar(lambda)));
          scalars.put(MeanValues.ALIGNMENT_LOSS, terms.loss());
          terms.cosine().forEach((layer, mean) -> scalars.put(MeanValues.COSINE + layer, mean));
        }
        scalars.put(MeanValues.TOTAL_LOSS, total);
        output.metrics().forEach((name, value) -> scalars.put(MeanValues.METRIC + name, value));
        if (backward) {
          total.backward();
        }
        long samples = policy.batchSize(batch);
        // Gradients are averaged over micro-batches whatever their size, and so are their losses.
        means.add(scalars, backward || samples == 0 ? 1 : samples);
        return samples;
      } finally {
        close(batch);
      }
    }
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
