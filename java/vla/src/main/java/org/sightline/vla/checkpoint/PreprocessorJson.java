package org.sightline.vla.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;
import org.sightline.vla.data.image.ImageTransform;

/**
 * The {@code preprocessor_config.json} of an OpenVLA checkpoint. Images enter through {@link
 * ImageTransform}; a checkpoint that asks for others is refused, since its vision towers would see
 * pictures they were not trained on.
 *
 * <p>What counts are the {@code tvf_*} keys: the processor applies them, whatever {@code means} and
 * {@code stds} (unrounded) say.
 */
final class PreprocessorJson {
  static final String NAME = "preprocessor_config.json";

  private PreprocessorJson() {}

  /** The file for a model that has none, as OpenVLA's. */
  static String of(int imageSize) {
    return """
        {
          "image_processor_type": "PrismaticImageProcessor",
          "processor_class": "PrismaticProcessor",
          "use_fused_vision_backbone": true,
          "image_resize_strategy": "resize-naive",
          "input_sizes": [[3, SIZE, SIZE], [3, SIZE, SIZE]],
          "interpolations": ["bicubic", "bicubic"],
          "means": [MEAN0, MEAN3],
          "stds": [STD0, STD3],
          "tvf_do_letterbox": false,
          "tvf_letterbox_fill": null,
          "tvf_resize_params": [
            {"antialias": true, "interpolation": 3, "max_size": null, "size": [SIZE, SIZE]},
            {"antialias": true, "interpolation": 3, "max_size": null, "size": [SIZE, SIZE]}
          ],
          "tvf_crop_params": [{"output_size": [SIZE, SIZE]}, {"output_size": [SIZE, SIZE]}],
          "tvf_normalize_params": [
            {"inplace": false, "mean": MEAN0, "std": STD0},
            {"inplace": false, "mean": MEAN3, "std": STD3}
          ]
        }
        """
        .replace("SIZE", Integer.toString(imageSize))
        .replace("MEAN0", ImageTransform.mean(0, 3).toString())
        .replace("MEAN3", ImageTransform.mean(3, 6).toString())
        .replace("STD0", ImageTransform.std(0, 3).toString())
        .replace("STD3", ImageTransform.std(3, 6).toString());
  }

  /**
   * Passes if the file asks for what {@link ImageTransform} does.
   *
   * @throws FormatException naming the key, what was found and what was expected
   */
  static void require(Path file, int imageSize) throws IOException {
    JsonFields root = JsonFields.read(file);
    String strategy = "image_resize_strategy";
    root.require(strategy, root.text(strategy, "resize-naive"), "resize-naive");
    root.require("tvf_do_letterbox", root.bool("tvf_do_letterbox", false), false);
    List<Double> square = List.of((double) imageSize, (double) imageSize);
    for (JsonFields resize : root.objects("tvf_resize_params")) {
      resize.require("size", resize.numbers("size"), square);
    }
    if (root.has("tvf_crop_params")) {
      for (JsonFields crop : root.objects("tvf_crop_params")) {
        crop.require("output_size", crop.numbers("output_size"), square);
      }
    }
    List<JsonFields> normalize = root.objects("tvf_normalize_params");
    if (3 * normalize.size() != ImageTransform.CHANNELS) {
      throw root.wrong("tvf_normalize_params", "two, for DINOv2 and SigLIP");
    }
    for (int tower = 0; tower < normalize.size(); tower++) {
      JsonFields constants = normalize.get(tower);
      int first = 3 * tower;
      constants.require("mean", constants.numbers("mean"), ImageTransform.mean(first, first + 3));
      constants.require("std", constants.numbers("std"), ImageTransform.std(first, first + 3));
    }
  }
}
