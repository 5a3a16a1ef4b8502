package org.sightline.vla.finetune;

import io.soabase.recordbuilder.core.RecordBuilder;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.sightline.Checks;
import org.sightline.Device;
import org.sightline.vla.checkpoint.PathChecks;
import org.sightline.vla.data.image.Augmentation;
import org.sightline.vla.data.image.ImageTransform;
import org.sightline.vla.data.loader.VlaDataLoader;
import org.sightline.vla.data.rlds.RldsDataset;

/**
 * Where training data comes from and what is done to it.
 *
 * @param data RLDS folders; empty: tabletop episodes are rendered
 * @param camera which of the data's images the policy sees
 * @param augment whether images are augmented as in the paper
 * @param augmentationsPerImage how many augmented views an image has; 0: a new one every epoch
 * @param dataThreads that prepare batches beside the training thread
 * @param shuffleBuffer steps held to choose the next one from
 * @param skipCorrupt whether records that cannot be read are left out, and counted
 * @param keepUnlabelled whether steps without an instruction are learned from
 * @param evalFraction share of the episodes that is held out, in (0, 1)
 */
@RecordBuilder
public record DataConfig(
    List<DataFolder> data,
    String camera,
    boolean augment,
    int augmentationsPerImage,
    int dataThreads,
    int shuffleBuffer,
    boolean skipCorrupt,
    boolean keepUnlabelled,
    double evalFraction) {
  /** Tabletop episodes, augmented. */
  public static final DataConfig DEFAULTS =
      DataConfigBuilder.builder()
          .data(List.of())
          .camera("image_0")
          .augment(true)
          .dataThreads(1)
          .shuffleBuffer(10_000)
          .evalFraction(0.15)
          .build();

  /**
   * Checks every value.
   *
   * @throws IllegalArgumentException naming the argument, the value found and the value expected
   */
  public DataConfig {
    data = List.copyOf(data);
    data.forEach(folder -> PathChecks.exists("data", folder.path()));
    long shares = data.stream().filter(folder -> folder.share() != null).count();
    if (shares > 0 && shares < data.size()) {
      throw new IllegalArgumentException(
          "data must have a share for every folder or for none, found " + data);
    }
    Checks.atLeast("augmentationsPerImage", augmentationsPerImage, 0);
    Checks.atLeast("dataThreads", dataThreads, 0);
    Checks.atLeast("shuffleBuffer", shuffleBuffer, 0);
    if (!(evalFraction > 0 && evalFraction < 1)) {
      throw new IllegalArgumentException(
          "evalFraction must be between 0 and 1, found " + evalFraction);
    }
  }

  /** Of the training splits of these RLDS folders. */
  public static DataConfig of(Path... folders) {
    return builder().data(Stream.of(folders).map(DataFolder::of).toList()).build();
  }

  /** A builder that starts with {@link #DEFAULTS}. */
  public static DataConfigBuilder builder() {
    return DataConfigBuilder.builder(DEFAULTS);
  }

  /** Of the folders in the samples; empty: by size. */
  List<Double> shares() {
    return data.stream().map(DataFolder::share).filter(Objects::nonNull).toList();
  }

  /** Opens a folder's training split. */
  RldsDataset open(DataFolder folder) throws IOException {
    return folder.open("train", camera, skipCorrupt, keepUnlabelled);
  }

  /** From camera images to the pixels of a model. */
  ImageTransform images(int size) {
    return new ImageTransform(size, augment ? Augmentation.PAPER : null);
  }

  /** How the training loader batches. */
  VlaDataLoader.Options training(int batchSize, long seed, Device device) {
    return VlaDataLoader.Options.training(batchSize, seed)
        .withShuffleBuffer(shuffleBuffer)
        .withViews(augmentationsPerImage)
        .withThreads(dataThreads)
        .withDevice(device);
  }
}
