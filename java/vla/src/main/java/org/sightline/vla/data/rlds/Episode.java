package org.sightline.vla.data.rlds;

import java.nio.file.Path;
import java.util.List;

/**
 * One episode, one record of a shard.
 *
 * @param file the shard it was read from
 * @param record its number in the shard
 * @param steps its steps in time order
 */
public record Episode(Path file, long record, List<Step> steps) {
  public Episode {
    steps = List.copyOf(steps);
  }
}
