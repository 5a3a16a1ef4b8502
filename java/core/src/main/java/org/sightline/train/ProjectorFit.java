package org.sightline.train;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.sightline.AdamW;
import org.sightline.AlignmentProjector;
import org.sightline.Checks;
import org.sightline.Device;

/**
 * Projectors that are fitted to the policy as it is before a run, which then keeps them frozen, as
 * a rule: they learn to predict the teacher's features from the policy's hidden states, so that the
 * alignment loss holds on to what the policy knows. A random projector, which is the paper's, asks
 * for other hidden states from the first step on.
 *
 * <pre>{@code
 * try (ProjectorFit<VlaBatch> fit = new ProjectorFit<>(policy, teacher, config, 300)) {
 *   while (fit.step(trainingBatches)) {}
 *   System.out.println(fit.cosine(heldOutBatches)); // by layer
 *   ProjectorFile.write(file, fit.projectors());
 * }
 * }</pre>
 *
 * <p>AdamW at 1e-3 without weight decay, falling along half a cosine; the policy runs without
 * gradients and dropout. The same policy, batches and seed give the same bits.
 *
 * @param <B> the batch of the policy
 */
public final class ProjectorFit<B> implements AutoCloseable {
  private static final AdamW.Config OPTIMIZER =
      new AdamW.Config(1e-3, 0.9, 0.999, 1e-8, 0, 0, true, AdamW.Precision.MASTER);

  private final Policy<B> policy;
  private final Teacher<B> teacher;
  private final int steps;
  private final LearningRateSchedule schedule;
  private final LayerAlignment alignment;
  private final AdamW optimizer;
  private final List<Map<Integer, Tensor>> cosines = new ArrayList<>();

  /**
   * Begins with the projectors that the run itself would draw.
   *
   * @param config of the run: its aligned layers, projector and teacher norm
   * @param steps of the fit, each on one batch
   * @throws IllegalArgumentException if no layer is aligned
   */
  public ProjectorFit(Policy<B> policy, Teacher<B> teacher, FineTuneConfig config, int steps) {
    this.policy = Objects.requireNonNull(policy, "policy");
    this.teacher = Objects.requireNonNull(teacher, "teacher");
    Checks.atLeast("steps", steps, 1);
    if (config.alignedLayers().isEmpty()) {
      throw new IllegalArgumentException("config must align a layer, found none");
    }
    this.steps = steps;
    this.schedule = new LearningRateSchedule(LearningRateSchedule.Shape.COSINE, steps / 10);
    Device device = Device.of(policy.trainableParameters().values().iterator().next());
    FineTuneConfig trained =
        FineTuneConfigBuilder.builder(config)
            .projector(config.projector().withTrainable(true))
            .build();
    this.alignment = new LayerAlignment(trained, device);
    this.optimizer = new AdamW(alignment.trainedParameters(), OPTIMIZER);
  }

  /**
   * One step, if the fit has not ended.
   *
   * @param batches of the run's training data
   * @return whether there was one
   */
  public boolean step(Iterator<? extends B> batches) {
    int step = cosines.size();
    if (step == steps || !batches.hasNext()) {
      return false;
    }
    try (PointerScope scope = new PointerScope()) {
      LayerAlignment.Terms terms = terms(batches.next());
      terms.loss().backward();
      optimizer.setLearningRate(OPTIMIZER.learningRate() * schedule.factor(step, steps));
      optimizer.stepAsync(1);
      terms.cosine().values().forEach(Tensor::retainReference);
      cosines.add(terms.cosine()); // Stay on their device until somebody asks.
    }
    return true;
  }

  /** Mean cosine by layer of each step taken; waits for the device. */
  public List<Map<Integer, Double>> curve() {
    return cosines.stream()
        .map(
            step -> {
              Map<Integer, Double> values = new LinkedHashMap<>();
              step.forEach((layer, cosine) -> values.put(layer, cosine.item_double()));
              return values;
            })
        .toList();
  }

  /**
   * Mean cosine by layer over batches that are not learnt from; waits for the device.
   *
   * @throws IllegalArgumentException if there is no batch, or a cosine is not finite
   */
  public Map<Integer, Double> cosine(Iterator<? extends B> batches) {
    Map<Integer, Double> sums = new LinkedHashMap<>();
    double weights = 0;
    while (batches.hasNext()) {
      try (PointerScope scope = new PointerScope();
          NoGradGuard noGrad = new NoGradGuard()) {
        B batch = batches.next();
        double weight = Math.max(1, policy.batchSize(batch));
        terms(batch)
            .cosine()
            .forEach((layer, mean) -> sums.merge(layer, weight * mean.item_double(), Double::sum));
        weights += weight;
      }
    }
    if (weights == 0) {
      throw new IllegalArgumentException("held-out batches must be at least 1, found none");
    }
    double all = weights;
    sums.replaceAll((layer, sum) -> sum / all);
    sums.forEach(
        (layer, mean) -> {
          if (!Double.isFinite(mean)) {
            throw new IllegalArgumentException(
                ("held-out cosine of layer %d must be finite, found %s: the model's hidden states"
                        + " or the teacher's features pass the range of their dtype")
                    .formatted(layer, mean));
          }
        });
    return sums;
  }

  /** By layer; they stay this object's. */
  public Map<Integer, AlignmentProjector> projectors() {
    return alignment.projectors();
  }

  private LayerAlignment.Terms terms(B batch) {
    policy.train(false);
    try {
      PolicyOutput output;
      Tensor features;
      try (NoGradGuard noGrad = new NoGradGuard()) {
        output = policy.forward(batch, alignment.layers());
        features = teacher.features(batch);
      }
      return alignment.forward(output, features);
    } finally {
      policy.train(true);
      BatchPass.close(batch);
    }
  }

  @Override
  public void close() {
    cosines.forEach(step -> step.values().forEach(Tensor::close));
    optimizer.close();
    alignment.close();
  }
}
