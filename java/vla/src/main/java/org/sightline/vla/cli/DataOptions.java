package org.sightline.vla.cli;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.sightline.vla.data.CorruptRecords;
import picocli.CommandLine.Help;
import picocli.CommandLine.Option;

/** Options about data, for commands that train. */
final class DataOptions {
  @Option(
      names = "--data",
      paramLabel = "DIR[=SHARE]",
      split = ",",
      showDefaultValue = Help.Visibility.NEVER,
      description = {
        "RLDS folders (TFRecord shards, features.json).",
        "SHARE is a folder's part of the samples, relative to the others'; without shares each"
            + " folder counts by its size."
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

  /**
   * The settings.
   *
   * @throws IllegalArgumentException naming the option that is wrong
   */
  DataSettings settings() {
    List<Path> folders = new ArrayList<>();
    List<Double> shares = new ArrayList<>();
    for (String item : data) {
      int separator = item.lastIndexOf('=');
      folders.add(Path.of(separator < 0 ? item : item.substring(0, separator)));
      if (separator >= 0) {
        shares.add(share(item, item.substring(separator + 1)));
      }
    }
    if (!shares.isEmpty() && shares.size() < folders.size()) {
      throw new IllegalArgumentException(
          "--data must have a share for every folder or for none, found " + data);
    }
    return new DataSettings(
        folders,
        shares,
        camera,
        augment,
        views,
        threads,
        shuffleBuffer,
        skipCorrupt ? CorruptRecords.SKIP : CorruptRecords.FAIL,
        teacherCache);
  }

  private static double share(String item, String text) {
    try {
      double share = Double.parseDouble(text);
      if (share > 0 && share < Double.POSITIVE_INFINITY) {
        return share;
      }
    } catch (NumberFormatException e) {
      // Explained below, as other numbers that are no share.
    }
    throw new IllegalArgumentException(
        "--data must be DIR or DIR=SHARE with a positive SHARE, found " + item);
  }
}
