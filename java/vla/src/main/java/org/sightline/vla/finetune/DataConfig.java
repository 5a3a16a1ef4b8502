package org.sightline.vla.finetune;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import org.sightline.Checks;
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
      new DataConfig(List.of(), "image_0", true, 0, 1, 10_000, false, false, 0.15);

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
    return builder().data(folders).build();
  }

  /** A builder that starts with {@link #DEFAULTS}. */
  public static Builder builder() {
    return new Builder();
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
  VlaDataLoader.Options training(int batchSize, long seed) {
    return VlaDataLoader.Options.training(batchSize, seed)
        .withShuffleBuffer(shuffleBuffer)
        .withViews(augmentationsPerImage)
        .withThreads(dataThreads);
  }

  /** Collects the values of a {@link DataConfig}. */
  public static final class Builder {
    private List<DataFolder> data = DEFAULTS.data;
    private String camera = DEFAULTS.camera;
    private boolean augment = DEFAULTS.augment;
    private int augmentationsPerImage = DEFAULTS.augmentationsPerImage;
    private int dataThreads = DEFAULTS.dataThreads;
    private int shuffleBuffer = DEFAULTS.shuffleBuffer;
    private boolean skipCorrupt = DEFAULTS.skipCorrupt;
    private boolean keepUnlabelled = DEFAULTS.keepUnlabelled;
    private double evalFraction = DEFAULTS.evalFraction;

    private Builder() {}

    public Builder data(List<DataFolder> folders) {
      this.data = folders;
      return this;
    }

    public Builder data(Path... folders) {
      return data(List.of(folders).stream().map(DataFolder::of).toList());
    }

    public Builder camera(String key) {
      this.camera = key;
      return this;
    }

    public Builder augment(boolean on) {
      this.augment = on;
      return this;
    }

    public Builder augmentationsPerImage(int views) {
      this.augmentationsPerImage = views;
      return this;
    }

    public Builder dataThreads(int threads) {
      this.dataThreads = threads;
      return this;
    }

    public Builder shuffleBuffer(int steps) {
      this.shuffleBuffer = steps;
      return this;
    }

    public Builder skipCorrupt(boolean on) {
      this.skipCorrupt = on;
      return this;
    }

    public Builder keepUnlabelled(boolean on) {
      this.keepUnlabelled = on;
      return this;
    }

    public Builder evalFraction(double share) {
      this.evalFraction = share;
      return this;
    }

    public DataConfig build() {
      return new DataConfig(
          data,
          camera,
          augment,
          augmentationsPerImage,
          dataThreads,
          shuffleBuffer,
          skipCorrupt,
          keepUnlabelled,
          evalFraction);
    }
  }
}
