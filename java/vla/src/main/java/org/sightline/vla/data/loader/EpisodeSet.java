package org.sightline.vla.data.loader;

import java.util.Arrays;
import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.rlds.RldsDataset;

/**
 * Some episodes of a dataset, as one part of what a {@link VlaDataLoader} reads. Arrays are not
 * copied.
 *
 * @param dataset where the episodes are
 * @param episodes their numbers
 * @param steps how many steps each of them has, 0 for one to be left out
 * @param statistics normalise the dataset's actions
 * @param share of the samples of a mixture, relative to the others'; positive
 */
public record EpisodeSet(
    RldsDataset dataset, int[] episodes, int[] steps, ActionStatistics statistics, double share) {
  public EpisodeSet {
    if (episodes.length != steps.length) {
      throw new IllegalArgumentException(
          "steps: found " + steps.length + " values, expected " + episodes.length);
    }
    if (!(share > 0) || Double.isInfinite(share)) {
      throw new IllegalArgumentException(
          "share of " + dataset.name() + ": found " + share + ", expected a positive number");
    }
    if (Arrays.stream(steps).asLongStream().sum() == 0) {
      throw new IllegalArgumentException(
          "episodes of %s: found %s with no step in them, expected at least 1 step"
              .formatted(dataset.name(), episodes.length));
    }
  }

  /** Steps in all episodes. */
  public long size() {
    return Arrays.stream(steps).asLongStream().sum();
  }
}
