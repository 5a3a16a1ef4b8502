package org.sightline.study.analysis;

import java.util.Arrays;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.Checks;
import org.sightline.Finite;
import org.sightline.vla.data.image.CounterRandom;

/**
 * What can be read linearly from frozen features: softmax regression, by SGD with momentum as
 * torch.optim.SGD has it. The layer starts at zero, as the loss is convex; computed in fp64 on the
 * CPU, the same bits for the same seed.
 *
 * @param learningRate constant
 * @param momentum in [0, 1)
 * @param epochs passes over the training samples, each in an order of its own
 * @param batchSize samples a step; the last of an epoch has what is left
 * @param seed of the orders
 */
public record LinearProbe(
    double learningRate, double momentum, int epochs, int batchSize, long seed) {
  /** The paper's (arXiv 2510.25616, section 5.3). */
  public static final LinearProbe PAPER = new LinearProbe(0.1, 0.9, 40, 128, 42);

  public LinearProbe {
    Checks.positive("learningRate", learningRate);
    Checks.belowOne("momentum", momentum);
    Checks.atLeast("epochs", epochs, 1);
    Checks.atLeast("batchSize", batchSize, 1);
  }

  /**
   * Features of samples and their classes.
   *
   * @param features [n,d]
   * @param labels n, from 0
   */
  public record Samples(Tensor features, int[] labels) {
    /**
     * @throws IllegalArgumentException if they are not as many, or there are none
     */
    public Samples {
      if (features.dim() != 2 || features.size(0) != labels.length || labels.length == 0) {
        throw new IllegalArgumentException(
            "features must be [n,d] with a label for each row, found %s dimensions, %s rows and %s labels"
                .formatted(
                    features.dim(), features.dim() > 0 ? features.size(0) : 0, labels.length));
      }
      Checks.atLeast("labels", Arrays.stream(labels).min().getAsInt(), 0);
    }
  }

  /**
   * Share of samples whose class had the largest logit.
   *
   * @param training of those learnt from
   * @param test of the others
   * @param standardError of {@code test}, binomial
   */
  public record Accuracy(double training, double test, double standardError) {}

  /**
   * Learns from some samples and is tested on others.
   *
   * @throws IllegalArgumentException if features are not finite or of different widths
   */
  public Accuracy fit(Samples training, Samples test) {
    long width = training.features().size(1);
    if (test.features().size(1) != width) {
      throw new IllegalArgumentException(
          "test features must be as wide as those of training, %s, found %s"
              .formatted(width, test.features().size(1)));
    }
    int classes = 1 + Math.max(largest(training.labels()), largest(test.labels()));
    try (PointerScope scope = new PointerScope();
        NoGradGuard noGrad = new NoGradGuard()) {
      Tensor x = inputs("training features", training.features());
      Tensor weight = x.new_zeros(width + 1, classes);
      learn(x, training.labels(), weight);
      Finite.require("the probe's weights", weight);
      double found = accuracy(x, training.labels(), weight);
      double held = accuracy(inputs("test features", test.features()), test.labels(), weight);
      double error = Math.sqrt(held * (1 - held) / test.labels().length);
      return new Accuracy(found, held, error);
    }
  }

  private void learn(Tensor x, int[] labels, Tensor weight) {
    Tensor velocity = torch.zeros_like(weight);
    Tensor targets = torch.one_hot(longs(labels), weight.size(1)).to(ScalarType.Double);
    int count = labels.length;
    for (int epoch = 0; epoch < epochs; epoch++) {
      int[] order = order(count, epoch);
      for (int from = 0; from < count; from += batchSize) {
        try (PointerScope scope = new PointerScope()) {
          int[] rows = Arrays.copyOfRange(order, from, Math.min(count, from + batchSize));
          Tensor chosen = longs(rows);
          Tensor inputs = x.index_select(0, chosen);
          Tensor error = inputs.matmul(weight).softmax(1).sub(targets.index_select(0, chosen));
          Tensor gradient = inputs.t().matmul(error).div(new Scalar((double) rows.length));
          velocity.mul_(new Scalar(momentum)).add_(gradient);
          weight.sub_(velocity, new Scalar(learningRate));
        }
      }
    }
  }

  /** Fisher and Yates's shuffle with counted random numbers. */
  private int[] order(int count, int epoch) {
    int[] order = new int[count];
    long key = CounterRandom.key(seed, epoch);
    for (int i = 0; i < count; i++) {
      int j = CounterRandom.below(key, i, i + 1);
      order[i] = order[j];
      order[j] = i;
    }
    return order;
  }

  private static double accuracy(Tensor x, int[] labels, Tensor weight) {
    Tensor guessed = x.matmul(weight).argmax(new org.bytedeco.pytorch.LongOptional(1), false);
    long[] classes = new long[labels.length];
    new LongPointer(guessed.data_ptr_long()).get(classes);
    int right = 0;
    for (int i = 0; i < labels.length; i++) {
      right += classes[i] == labels[i] ? 1 : 0;
    }
    return (double) right / labels.length;
  }

  /** [n, d + 1] fp64: the last column, of ones, is the bias's. */
  private static Tensor inputs(String name, Tensor features) {
    Tensor values = Finite.require(name, features.detach().cpu().to(ScalarType.Double));
    Tensor ones = values.new_ones(values.size(0), 1);
    return torch.cat(new org.bytedeco.pytorch.TensorVector(values, ones), 1);
  }

  private static Tensor longs(int[] values) {
    return Tensor.create(Arrays.stream(values).asLongStream().toArray());
  }

  private static int largest(int[] labels) {
    return Arrays.stream(labels).max().getAsInt();
  }
}
