package org.sightline.vla.data.rlds;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.GitLfs;

/**
 * What the descriptors of a TFDS/RLDS folder say, whatever its keys are; no record is read.
 *
 * @param name of the dataset
 * @param version as written, or empty
 * @param format of the shards, such as {@code tfrecord}
 * @param splits in the order of {@code dataset_info.json}
 * @param features what every record holds, by key: {@code image of uint8 [480, 640, 3]}
 */
public record RldsSummary(
    String name, String version, String format, List<Split> splits, Map<String, String> features) {

  /**
   * One split.
   *
   * @param episodes by shard
   * @param bytes of the shards together
   * @param missing shards that are listed but not there
   */
  public record Split(String name, List<Long> episodes, long bytes, List<Path> missing) {
    /** Episodes of all shards. */
    public long size() {
      return episodes.stream().mapToLong(Long::longValue).sum();
    }
  }

  /**
   * Reads the descriptors and looks for every shard.
   *
   * @throws FormatException when a descriptor is malformed, or a shard is a Git LFS pointer
   */
  public static RldsSummary read(Path folder) throws IOException {
    RldsInfo info = RldsInfo.read(folder);
    List<Split> splits = new ArrayList<>();
    for (String split : info.splits()) {
      List<Long> episodes = info.shardLengths(split);
      long bytes = 0;
      List<Path> missing = new ArrayList<>();
      for (int i = 0; i < episodes.size(); i++) {
        Path shard = info.shard(split, i, episodes.size());
        if (Files.isRegularFile(shard)) {
          GitLfs.requireContent(shard);
          bytes += Files.size(shard);
        } else {
          missing.add(shard);
        }
      }
      splits.add(new Split(split, episodes, bytes, missing));
    }
    Map<String, String> features = new LinkedHashMap<>();
    RldsFeatures.read(folder.resolve("features.json"))
        .leaves()
        .forEach((key, leaf) -> features.put(key, leaf.describe()));
    return new RldsSummary(
        info.name(), info.json().text("version", ""), info.format(), splits, features);
  }
}
