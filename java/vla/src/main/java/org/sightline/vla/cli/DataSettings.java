package org.sightline.vla.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import org.sightline.Checks;
import org.sightline.vla.data.image.Augmentation;
import org.sightline.vla.data.image.ImageTransform;
import org.sightline.vla.data.loader.VlaDataLoader;
import org.sightline.vla.data.rlds.CorruptRecords;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.rlds.RldsKeys;

/**
 * Where training data comes from and what is done to it, as the command line describes it.
 *
 * @param folders RLDS folders; empty: tabletop episodes are rendered
 * @param camera which of the data's images the policy sees
 * @param augment whether images are augmented as in the paper
 * @param views how many augmented views an image has; 0: a new one every epoch
 * @param threads that prepare batches beside the training thread
 * @param shuffleBuffer steps held to choose the next one from
 * @param corrupt what happens to records that cannot be read
 * @param keepUnlabelled whether steps without an instruction are learned from
 * @param teacherCache folder of cached teacher features; null: none
 */
record DataSettings(
    List<DataFolder> folders,
    String camera,
    boolean augment,
    int views,
    int threads,
    int shuffleBuffer,
    CorruptRecords corrupt,
    boolean keepUnlabelled,
    Path teacherCache) {

  DataSettings {
    folders = List.copyOf(folders);
    folders.forEach(folder -> OptionChecks.exists("--data", folder.path()));
    Checks.atLeast("--views", views, 0);
    Checks.atLeast("--data-threads", threads, 0);
    Checks.atLeast("--shuffle-buffer", shuffleBuffer, 0);
    OptionChecks.canBeFolder("--teacher-cache", teacherCache);
    if (teacherCache != null && augment && views == 0) {
      throw new IllegalArgumentException(
          "--teacher-cache needs --views of 1 or more, or --no-augment, found --views 0: each epoch"
              + " would show new pictures");
    }
  }

  /** Of the folders in the samples; empty: by size. */
  List<Double> shares() {
    return folders.stream().map(DataFolder::share).filter(Objects::nonNull).toList();
  }

  /** Opens a folder's training split. */
  RldsDataset open(DataFolder folder) throws IOException {
    return open(folder, "train", camera, corrupt, keepUnlabelled);
  }

  /** Opens a split as all commands do. */
  static RldsDataset open(
      DataFolder folder,
      String split,
      String camera,
      CorruptRecords corrupt,
      boolean keepUnlabelled)
      throws IOException {
    RldsKeys keys = RldsKeys.BRIDGE.withCamera(camera);
    RldsDataset dataset = RldsDataset.open(folder.path(), split, keys, corrupt);
    dataset = folder.name() == null ? dataset : dataset.named(folder.name());
    return keepUnlabelled ? dataset.keepingUnlabelled() : dataset;
  }

  /** From camera images to the pixels of a model. */
  ImageTransform images(int size) {
    return new ImageTransform(size, augment ? Augmentation.PAPER : null);
  }

  /** How the training loader batches. */
  VlaDataLoader.Options training(int batchSize, long seed) {
    return VlaDataLoader.Options.training(batchSize, seed)
        .withShuffleBuffer(shuffleBuffer)
        .withViews(views)
        .withThreads(threads);
  }
}
