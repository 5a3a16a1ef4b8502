package org.sightline.vla.cli;

import java.io.IOException;
import java.nio.file.Path;
import org.sightline.DType;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.peft.PeftAdapter;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.data.image.Augmentation;
import org.sightline.vla.data.image.ImageTransform;
import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.rlds.StatisticsJson;
import org.sightline.vla.data.text.ActionTokenizer;
import org.sightline.vla.data.text.PromptTokenizer;
import org.sightline.vla.model.LoraPlan;
import org.sightline.vla.model.OpenVla;
import org.sightline.vla.model.OpenVlaConfig;

/**
 * A policy ready to act.
 *
 * @param model in evaluation mode
 * @param statistics scale its actions
 * @param images from camera images to its pixels
 */
record LoadedPolicy(
    OpenVla model,
    PromptTokenizer tokenizer,
    ActionTokenizer actions,
    ActionStatistics statistics,
    ImageTransform images)
    implements AutoCloseable {

  static LoadedPolicy open(
      BaseModel base,
      Path adapterFolder,
      Path tokenizerPath,
      Path statisticsFile,
      String unnormKey,
      boolean centerCrop,
      DType dtype)
      throws IOException {
    OpenVlaConfig config = base.config();
    ActionStatistics statistics = statistics(base, adapterFolder, statisticsFile, unnormKey);
    PromptTokenizer tokenizer = base.tokenizer(tokenizerPath);
    try {
      return new LoadedPolicy(
          model(base, adapterFolder, dtype),
          tokenizer,
          new ActionTokenizer(config.actionTokenEnd()),
          statistics,
          new ImageTransform(config.dino().imageSize(), centerCrop ? Augmentation.PAPER : null));
    } catch (IOException | RuntimeException e) {
      tokenizer.close();
      throw e;
    }
  }

  private static OpenVla model(BaseModel base, Path adapterFolder, DType dtype) throws IOException {
    if (adapterFolder == null) {
      return bare(base, LoraPlan.none(), dtype);
    }
    try (PeftAdapter adapter = PeftAdapter.read(adapterFolder)) {
      OpenVla model = bare(base, LoraPlan.of(adapter), dtype);
      try {
        model.loadAdapters(adapter.adapters());
        model.train(false);
        return model;
      } catch (IllegalArgumentException e) {
        model.close();
        throw new IllegalArgumentException(
            "--adapter %s does not fit %s: %s"
                .formatted(adapterFolder, base.name(), e.getMessage()),
            e);
      }
    }
  }

  private static OpenVla bare(BaseModel base, LoraPlan lora, DType dtype) throws IOException {
    try (HuggingFaceCheckpoint weights = base.open()) {
      return OpenVla.of(base.config(), weights, dtype, lora, 0); // Nothing is drawn.
    }
  }

  private static ActionStatistics statistics(
      BaseModel base, Path adapterFolder, Path file, String unnormKey) throws IOException {
    if (file == null && adapterFolder != null) {
      Path besides = adapterFolder.resolve("dataset_statistics.json");
      file = InputFile.exists(besides) ? besides : null;
    }
    if (file != null) {
      return StatisticsJson.read(file, unnormKey);
    }
    try (HuggingFaceCheckpoint checkpoint = base.open()) {
      var known = checkpoint.statistics();
      if (known.isEmpty()) {
        throw new IllegalArgumentException(
            "--statistics must name a dataset_statistics.json, found none: neither adapter nor model"
                + " has one");
      }
      if (unnormKey == null && known.size() == 1) {
        return known.values().iterator().next();
      }
      if (unnormKey == null || !known.containsKey(unnormKey)) {
        throw new IllegalArgumentException(
            "--unnorm-key must be one of %s, found %s".formatted(known.keySet(), unnormKey));
      }
      return known.get(unnormKey);
    }
  }

  @Override
  public void close() {
    model.close();
    tokenizer.close();
  }
}
