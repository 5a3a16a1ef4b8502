package org.sightline.vla.data;

import java.io.IOException;

/**
 * A dataset made ready for fine-tuning in one call: opened, split by episode, statistics computed
 * on the training episodes alone, loaders for both sides.
 *
 * <pre>{@code
 * try (PromptTokenizer tokenizer = HuggingFacePromptTokenizer.embedded()) {
 *   VlaData data = VlaData.of(
 *       RldsDataset.open(folder), tokenizer, new ActionTokenizer(1024), new ImageTransform(56),
 *       0.2, 8, 42);
 *   try (BatchIterator batches = data.train().repeat()) {
 *     for (int step = 0; step < 100; step++) {
 *       try (VlaBatch batch = batches.next()) { … }
 *     }
 *   }
 * }
 * }</pre>
 *
 * @param dataset what was opened
 * @param split which episodes are for training and which for evaluation
 * @param statistics of the training episodes
 * @param batcher collates single steps, for rollouts and tests
 * @param train shuffled batches of the training episodes
 * @param eval batches of the evaluation episodes in order; null if none were held out
 */
public record VlaData(
    RldsDataset dataset,
    EpisodeSplit split,
    ActionStatistics statistics,
    VlaBatcher batcher,
    VlaDataLoader train,
    VlaDataLoader eval) {

  /**
   * Makes a dataset ready.
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
    EpisodeSplit split = EpisodeSplit.of(dataset.size(), evalFraction, seed);
    ActionStatistics statistics = ActionStatistics.of(dataset, split.train());
    VlaBatcher batcher = new VlaBatcher(tokenizer, actions, statistics, images);
    VlaDataLoader train =
        new VlaDataLoader(
            dataset, split.train(), batcher, VlaDataLoader.Options.training(batchSize, seed));
    VlaDataLoader eval =
        split.eval().length == 0
            ? null
            : new VlaDataLoader(
                dataset, split.eval(), batcher, VlaDataLoader.Options.evaluation(batchSize));
    return new VlaData(dataset, split, statistics, batcher, train, eval);
  }
}
