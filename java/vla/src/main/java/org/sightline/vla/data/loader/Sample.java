package org.sightline.vla.data.loader;

import org.sightline.Seeds;
import org.sightline.vla.data.image.CounterRandom;
import org.sightline.vla.data.image.ImageKey;
import org.sightline.vla.data.rlds.Step;

/**
 * A step on its way into a batch.
 *
 * @param set what it belongs to
 * @param episode its number in the dataset
 * @param epoch which pass over the set it is in
 * @param step image still encoded
 */
public record Sample(EpisodeSet set, int episode, long epoch, Step step) {
  /** The view number of an image that is not augmented at random. */
  static final long EVALUATION = -1;

  /**
   * Which of an image's augmented views this epoch shows. Of K views each is shown once in K
   * epochs, starting anywhere: after K epochs a cache of features has them all.
   *
   * @param views how many there are; 0 for a new one each epoch
   */
  long view(int views) {
    if (views == 0) {
      return epoch;
    }
    long start = CounterRandom.key(0, episode, step.origin().step());
    return Math.floorMod(start + epoch, (long) views);
  }

  /** Identifies the augmented picture. */
  ImageKey imageKey(long view) {
    String dataset = set.dataset().name();
    return ImageKey.of(dataset, episode, step.origin().step(), view, step.image());
  }

  /** The key of the augmentation's random numbers. */
  long augmentationKey(long seed, long view) {
    long dataset = Seeds.hash(0, set.dataset().name());
    return CounterRandom.key(seed, dataset, episode, step.origin().step(), view);
  }
}
