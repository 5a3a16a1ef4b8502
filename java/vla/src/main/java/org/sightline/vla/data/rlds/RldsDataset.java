package org.sightline.vla.data.rlds;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.tfrecord.DatasetFormatException;
import org.sightline.formats.tfrecord.TfRecordReader;

/**
 * One split of a TFDS/RLDS folder on disk:
 *
 * <pre>
 * dataset_info.json                          name, splits, records per shard
 * features.json                              schema of a record
 * NAME-SPLIT.tfrecord-00000-of-00002         one episode per record
 * NAME-SPLIT.tfrecord-00001-of-00002
 * </pre>
 *
 * Opening reads both descriptors and the record headers of every shard, nothing else. Episodes are
 * then read one at a time, in any order, through an {@link EpisodeReader}. Thread-safe.
 */
public final class RldsDataset {
  private final Path folder;
  private final String name;
  private final String split;
  private final RldsFeatures features;
  private final RldsKeys keys;
  private final List<Path> shards;
  private final long[][] offsets;
  private final LeftOut leftOut;
  private final boolean keepsUnlabelled;
  private final int episodes;

  private RldsDataset(
      Path folder,
      String name,
      String split,
      RldsFeatures features,
      RldsKeys keys,
      List<Path> shards,
      long[][] offsets,
      LeftOut leftOut,
      boolean keepsUnlabelled) {
    this.folder = folder;
    this.name = name;
    this.split = split;
    this.features = features;
    this.keys = keys;
    this.shards = shards;
    this.offsets = offsets;
    this.leftOut = leftOut;
    this.keepsUnlabelled = keepsUnlabelled;
    this.episodes = Arrays.stream(offsets).mapToInt(shard -> shard.length).sum();
  }

  /** Opens the {@code train} split with the keys of BridgeData. */
  public static RldsDataset open(Path folder) throws IOException {
    return open(folder, "train", RldsKeys.BRIDGE);
  }

  /** Opens a split; the first corrupt record is an error. */
  public static RldsDataset open(Path folder, String split, RldsKeys keys) throws IOException {
    return open(folder, split, keys, CorruptRecords.FAIL);
  }

  /**
   * Opens a split.
   *
   * @param folder the version folder, which holds {@code dataset_info.json}
   * @param policy for records that cannot be read, here and later; after a damaged length field the
   *     rest of a shard cannot be found, and counts as corrupt
   * @throws FormatException when a descriptor is malformed; the message names the place in it
   * @throws DatasetFormatException when a descriptor, split, key or shard is missing, or a shard is
   *     malformed; the message names it and what there is instead
   */
  public static RldsDataset open(Path folder, String split, RldsKeys keys, CorruptRecords policy)
      throws IOException {
    if (!Files.isDirectory(folder)) {
      throw new DatasetFormatException(folder + ": no such folder, expected a TFDS/RLDS dataset");
    }
    if (!InputFile.exists(folder.resolve(RldsInfo.FILE))) {
      throw new DatasetFormatException(
          folder + ": no dataset_info.json, expected a TFDS/RLDS dataset" + hint(folder));
    }
    RldsInfo info = RldsInfo.read(folder);
    info.requireTfRecord();
    Path featuresFile = folder.resolve("features.json");
    if (!InputFile.exists(featuresFile)) {
      throw new DatasetFormatException(folder + ": no features.json, expected a TFDS schema");
    }
    RldsFeatures features = RldsFeatures.read(featuresFile);
    checkKeys(featuresFile, features, keys);
    List<Long> shardLengths = info.shardLengths(split);
    LeftOut leftOut = new LeftOut(policy);
    List<Path> shards = new ArrayList<>();
    long[][] offsets = new long[shardLengths.size()][];
    for (int i = 0; i < offsets.length; i++) {
      Path shard = info.shard(split, i, offsets.length);
      if (!Files.isRegularFile(shard)) {
        throw new DatasetFormatException(
            "%s: shard is missing; dataset_info.json lists %s for split '%s'"
                .formatted(shard, offsets.length, split));
      }
      offsets[i] = index(shard, shardLengths.get(i), leftOut);
      shards.add(shard);
    }
    long episodes = Arrays.stream(offsets).mapToLong(shard -> shard.length).sum();
    if (episodes > Integer.MAX_VALUE) {
      throw new DatasetFormatException(
          folder + ": found " + episodes + " episodes, expected less than 2^31");
    }
    return new RldsDataset(
        folder, info.name(), split, features, keys, List.copyOf(shards), offsets, leftOut, false);
  }

  private static long[] index(Path shard, long expected, LeftOut leftOut) throws IOException {
    long[] offsets;
    try (TfRecordReader reader = new TfRecordReader(shard)) {
      TfRecordReader.Index index = reader.index();
      offsets = index.offsets();
      if (index.damage() != null) {
        leftOut.rest(Math.max(1, expected - offsets.length), index.damage());
        return offsets;
      }
    }
    if (offsets.length != expected) {
      String problem =
          "found %s records, expected %s as listed in dataset_info.json"
              .formatted(offsets.length, expected);
      if (offsets.length > expected || leftOut.policy() == CorruptRecords.FAIL) {
        throw new DatasetFormatException(shard + ": " + problem);
      }
      leftOut.rest(
          expected - offsets.length,
          DatasetFormatException.at(shard, offsets.length, Files.size(shard), problem));
    }
    return offsets;
  }

  /** The folder it was opened from. */
  public Path folder() {
    return folder;
  }

  /** The dataset's name, e.g. {@code bridge_dataset}. */
  public String name() {
    return name;
  }

  /** The split that was opened. */
  public String split() {
    return split;
  }

  /** The keys that steps are read from. */
  public RldsKeys keys() {
    return keys;
  }

  /** Number of episodes in the split. */
  public int size() {
    return episodes;
  }

  /** What was left out so far. */
  public LeftOut leftOut() {
    return leftOut;
  }

  /** The same under another name, to tell two datasets of one name apart. */
  public RldsDataset named(String other) {
    return new RldsDataset(
        folder, other, split, features, keys, shards, offsets, leftOut, keepsUnlabelled);
  }

  /** The same with steps that have no instruction: without this they are left out. */
  public RldsDataset keepingUnlabelled() {
    return new RldsDataset(folder, name, split, features, keys, shards, offsets, leftOut, true);
  }

  /** A reader of this split's episodes; close it. */
  public EpisodeReader reader() {
    return new EpisodeReader(this);
  }

  /** Those of an episode's steps that can be learned from: an instruction of blanks is none. */
  public List<Step> labelled(Episode episode) {
    return keepsUnlabelled
        ? episode.steps()
        : episode.steps().stream().filter(step -> !step.instruction().isBlank()).toList();
  }

  RldsFeatures features() {
    return features;
  }

  List<Path> shards() {
    return shards;
  }

  long[][] offsets() {
    return offsets;
  }

  private static void checkKeys(Path file, RldsFeatures features, RldsKeys keys)
      throws DatasetFormatException {
    features.requireBytes(keys.image(), RldsFeatures.Kind.IMAGE);
    features.requireBytes(keys.instruction(), RldsFeatures.Kind.TEXT);
    RldsFeatures.Leaf action = features.require(keys.action(), RldsFeatures.Kind.TENSOR);
    if (action.shape().length != 1 || action.shape()[0] != Step.ACTION_SIZE) {
      throw new DatasetFormatException(
          "%s: feature '%s': found %s, expected a tensor of float32 [%s]"
              .formatted(file, keys.action(), action.describe(), Step.ACTION_SIZE));
    }
    if (features.has(keys.state())) {
      RldsFeatures.Leaf state = features.require(keys.state(), RldsFeatures.Kind.TENSOR);
      for (int dimension : state.shape()) {
        if (dimension < 0) {
          throw new DatasetFormatException(
              "%s: feature '%s': found %s, expected a fixed shape"
                  .formatted(file, keys.state(), state.describe()));
        }
      }
    }
  }

  /** Users often name the folder above the version folder. */
  private static String hint(Path folder) throws IOException {
    try (Stream<Path> children = Files.list(folder)) {
      return children
          .filter(child -> Files.isRegularFile(child.resolve(RldsInfo.FILE)))
          .sorted()
          .findFirst()
          .map(child -> "; did you mean " + child + "?")
          .orElse("");
    }
  }
}
