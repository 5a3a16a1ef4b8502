package org.sightline.vla.cli;

import java.util.List;
import org.sightline.vla.finetune.DataConfig;
import org.sightline.vla.finetune.DataFolder;
import picocli.CommandLine.Help;
import picocli.CommandLine.Option;

/** What a run learns from. */
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
      description = "Image of the observations the policy sees.")
  private String camera = DataConfig.DEFAULTS.camera();

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
      names = "--augmentations-per-image",
      paramLabel = "N",
      description = "Augmented views per image, one an epoch in turn; 0: a new one every epoch.")
  private int augmentationsPerImage = DataConfig.DEFAULTS.augmentationsPerImage();

  @Option(
      names = "--data-threads",
      paramLabel = "N",
      description = "Threads that prepare batches ahead; 0: the training thread does.")
  private int dataThreads = DataConfig.DEFAULTS.dataThreads();

  @Option(
      names = "--shuffle-buffer",
      paramLabel = "STEPS",
      description = "Steps held to choose the next sample from; 0: in the order of the files.")
  private int shuffleBuffer = DataConfig.DEFAULTS.shuffleBuffer();

  @Option(
      names = "--skip-corrupt",
      description = "Leave out records and images that cannot be read, and count them.")
  private boolean skipCorrupt;

  @Option(
      names = {"--keep-unlabelled", "--keep-unlabeled"},
      description =
          "Train on steps without an instruction too; else they are left out, and counted.")
  private boolean keepUnlabelled;

  @Option(
      names = "--eval-fraction",
      paramLabel = "SHARE",
      description = "Share of the episodes held out for evaluation.")
  private double evalFraction = DataConfig.DEFAULTS.evalFraction();

  DataConfig config() {
    return DataConfig.builder()
        .data(DataFolder.list(data))
        .camera(camera)
        .augment(augment)
        .augmentationsPerImage(augmentationsPerImage)
        .dataThreads(dataThreads)
        .shuffleBuffer(shuffleBuffer)
        .skipCorrupt(skipCorrupt)
        .keepUnlabelled(keepUnlabelled)
        .evalFraction(evalFraction)
        .build();
  }
}
