package org.sightline.vla.data.loader;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.sightline.vla.data.image.ImageTransform;
import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.rlds.DatasetScan;
import org.sightline.vla.data.rlds.EpisodeSplit;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.rlds.StatisticsJson;
import org.sightline.vla.data.text.ActionTokenizer;
import org.sightline.vla.data.text.PromptTokenizer;

/**
 * One or several datasets made ready for fine-tuning in one call: opened, what cannot be used left
 * out, split by episode, statistics computed on the training episodes alone, loaders for both
 * sides.
 *
 * <pre>{@code
 * try (PromptTokenizer tokenizer = HuggingFacePromptTokenizer.embedded()) {
 *   VlaData data = VlaData.of(
 *       RldsDataset.open(folder), tokenizer, new ActionTokenizer(1024, 256),
 *       new ImageTransform(56, Augmentation.PAPER), 0.2, 8, 42);
 *   try (BatchIterator batches = data.train().repeat()) {
 *     for (int step = 0; step < 100; step++) {
 *       try (VlaBatch batch = batches.next()) { … }
 *     }
 *   }
 * }
 * }</pre>
 *
 * @param parts the datasets, in the order given
 * @param batcher collates single steps, for rollouts and tests, with the first dataset's statistics
 * @param train shuffled batches of the training episodes
 * @param eval batches of the evaluation episodes in order; null if none were held out
 */
public record VlaData(
    List<Part> parts, VlaBatcher batcher, VlaDataLoader train, VlaDataLoader eval) {
  /**
   * One dataset.
   *
   * @param dataset what was opened
   * @param split which of the usable episodes are for training and which for evaluation
   * @param statistics of the training episodes
   * @param digest of what all its episodes hold, see {@link DatasetScan#digest}
   * @param constant what the same answer to everything scores, on the evaluation episodes
   */
  public record Part(
      RldsDataset dataset,
      EpisodeSplit split,
      ActionStatistics statistics,
      String digest,
      ConstantAnswer constant) {}

  public VlaData {
    parts = List.copyOf(parts);
  }

  /**
   * Makes one dataset ready.
   *
   * @param tokenizer stays owned by the caller, and must stay open
   * @param evalFraction of the episodes held out, 0 to below 1
   * @param batchSize of both loaders
   * @param seed of the split and the shuffling
   */
  public static VlaData of(
      RldsDataset dataset,
      PromptTokenizer tokenizer,
      ActionTokenizer actions,
      ImageTransform images,
      double evalFraction,
      int batchSize,
      long seed)
      throws IOException {
    return of(
        List.of(dataset),
        List.of(),
        tokenizer,
        actions,
        images,
        evalFraction,
        VlaDataLoader.Options.training(batchSize, seed));
  }

  /**
   * Makes a mixture ready.
   *
   * @param datasets of distinct names
   * @param shares of the training samples that come from each dataset, relative to each other;
   *     empty: as many as it has steps, so that epochs pass at the same pace
   * @param tokenizer stays owned by the caller, and must stay open
   * @param evalFraction of each dataset's episodes held out, 0 to below 1
   * @param training options of the training loader; its seed also is the splits', its batch size
   *     and threads the evaluation loader's
   */
  public static VlaData of(
      List<RldsDataset> datasets,
      List<Double> shares,
      PromptTokenizer tokenizer,
      ActionTokenizer actions,
      ImageTransform images,
      double evalFraction,
      VlaDataLoader.Options training)
      throws IOException {
    check(datasets, shares);
    List<Part> parts = new ArrayList<>();
    List<EpisodeSet> train = new ArrayList<>();
    List<EpisodeSet> eval = new ArrayList<>();
    for (int i = 0; i < datasets.size(); i++) {
      RldsDataset dataset = datasets.get(i);
      DatasetScan scan = DatasetScan.of(dataset);
      int[] usable = scan.usable();
      requireEnough(dataset, usable.length, evalFraction);
      EpisodeSplit split = EpisodeSplit.of(usable, evalFraction, training.seed());
      ActionStatistics statistics = scan.statistics(split.train());
      double share = shares.isEmpty() ? statistics.transitions() : shares.get(i);
      train.add(set(dataset, split.train(), scan, statistics, share));
      if (split.eval().length > 0) {
        eval.add(set(dataset, split.eval(), scan, statistics, 1));
      }
      var constant =
          ConstantAnswer.of(
              scan.actions(split.train()), scan.actions(split.eval()), statistics, actions);
      parts.add(new Part(dataset, split, statistics, scan.digest(), constant));
    }
    VlaBatcher batcher = new VlaBatcher(tokenizer, actions, parts.get(0).statistics(), images);
    var evaluation =
        VlaDataLoader.Options.evaluation(training.batchSize())
            .withThreads(training.threads())
            .withDevice(training.device());
    return new VlaData(
        parts,
        batcher,
        new VlaDataLoader(train, batcher, training),
        eval.isEmpty() ? null : new VlaDataLoader(eval, batcher, evaluation));
  }

  private static EpisodeSet set(
      RldsDataset dataset,
      int[] episodes,
      DatasetScan scan,
      ActionStatistics statistics,
      double share) {
    return new EpisodeSet(dataset, episodes, scan.steps(episodes), statistics, share);
  }

  private static void requireEnough(RldsDataset dataset, int usable, double evalFraction) {
    int least = evalFraction > 0 ? 2 : 1;
    if (usable < least) {
      String leftOut = dataset.leftOut().describe();
      throw new IllegalArgumentException(
          "dataset %s: found %d usable episodes, expected at least %d%s%s"
              .formatted(
                  dataset.name(),
                  usable,
                  least,
                  least == 2 ? ", one of them held out for evaluation" : "",
                  leftOut.isEmpty() ? "" : "; left out: " + leftOut));
    }
  }

  private static void check(List<RldsDataset> datasets, List<Double> shares) {
    if (datasets.isEmpty()) {
      throw new IllegalArgumentException("datasets: found none, expected at least 1");
    }
    List<String> names = datasets.stream().map(RldsDataset::name).toList();
    if (names.stream().distinct().count() != names.size()) {
      throw new IllegalArgumentException(
          "datasets: found the names " + names + ", expected distinct ones");
    }
    if (!shares.isEmpty() && shares.size() != datasets.size()) {
      throw new IllegalArgumentException(
          "shares: found %s for %s datasets, expected one each or none"
              .formatted(shares.size(), datasets.size()));
    }
  }

  /**
   * Token accuracy on the evaluation episodes of always saying each dataset's most frequent tokens;
   * NaN if no episode was held out.
   */
  public double constantAccuracy() {
    return ConstantAnswer.accuracy(parts.stream().map(Part::constant).toList());
  }

  /** The first dataset, in most runs the only one. */
  public RldsDataset dataset() {
    return parts.get(0).dataset();
  }

  /** The first dataset's split. */
  public EpisodeSplit split() {
    return parts.get(0).split();
  }

  /** The first dataset's statistics. */
  public ActionStatistics statistics() {
    return parts.get(0).statistics();
  }

  /** Every dataset's statistics by name, as {@link StatisticsJson} writes them. */
  public Map<String, ActionStatistics> statisticsByName() {
    Map<String, ActionStatistics> statistics = new LinkedHashMap<>();
    parts.forEach(part -> statistics.put(part.dataset().name(), part.statistics()));
    return statistics;
  }
}
