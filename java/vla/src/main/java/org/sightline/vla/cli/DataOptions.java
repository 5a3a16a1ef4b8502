package org.sightline.vla.cli;

import java.nio.file.Path;
import java.util.List;
import org.sightline.vla.data.rlds.CorruptRecords;
import picocli.CommandLine.Help;
import picocli.CommandLine.Option;

/** Options about data, for commands that train. */
final class DataOptions {
  @Option(
      names = "--data",
      paramLabel = DataFolder.FORM,
      showDefaultValue = Help.Visibility.NEVER,
      description = {
        "RLDS folders (TFRecord shards, features.json), separated by commas.",
        "SHARE is a folder's part of the samples, relative to the others'; without shares each"
            + " folder counts by its size. NAME tells two datasets of one name apart."
      })
  private List<String> data = List.of();

  @Option(
      names = "--camera",
      paramLabel = "KEY",
      defaultValue = "image_0",
      description = "Image of the observations the policy sees.")
  private String camera;

  @Option(
      names = "--augment",
      negatable = true,
      defaultValue = "true",
      fallbackValue = "true",
      description = {
        "Augment training images as in the paper: crop of 90 %%, brightness, contrast, saturation,"
            + " hue.",
        "Evaluation then sees the centre crop. On unless it is switched off."
      })
  private boolean augment;

  @Option(
      names = "--views",
      defaultValue = "0",
      description = "Augmented views per image, one an epoch in turn; 0: a new one every epoch.")
  private int views;

  @Option(
      names = "--teacher-cache",
      paramLabel = "DIR",
      description = "Keep the teacher's features here: each view of an image is computed once.")
  private Path teacherCache;

  @Option(
      names = "--data-threads",
      defaultValue = "1",
      description = "Threads that prepare batches ahead; 0: the training thread does.")
  private int threads;

  @Option(
      names = "--shuffle-buffer",
      defaultValue = "10000",
      description = "Steps held to choose the next sample from; 0: in the order of the files.")
  private int shuffleBuffer;

  @Option(
      names = "--skip-corrupt",
      description = "Leave out records and images that cannot be read, and count them.")
  private boolean skipCorrupt;

  @Option(
      names = {"--keep-unlabelled", "--keep-unlabeled"},
      description =
          "Train on steps without an instruction too; else they are left out, and counted.")
  private boolean keepUnlabelled;

  /**
   * The settings.
   *
   * @throws IllegalArgumentException naming the option that is wrong
   */
  DataSettings settings() {
    List<DataFolder> folders = DataFolder.list(data);
    long shares = folders.stream().filter(folder -> folder.share() != null).count();
    if (shares > 0 && shares < folders.size()) {
      throw new IllegalArgumentException(
          "--data must have a share for every folder or for none, found " + folders);
    }
    return new DataSettings(
        folders,
        camera,
        augment,
        views,
        threads,
        shuffleBuffer,
        skipCorrupt ? CorruptRecords.SKIP : CorruptRecords.FAIL,
        keepUnlabelled,
        teacherCache);
  }
}
