package org.sightline.vla.model;

import java.util.Locale;
import org.sightline.Checks;
import org.sightline.vla.data.text.ActionTokenizer;

/**
 * Shape of an OpenVLA model.
 *
 * <p>Presets: {@link #openVla7b()}, the sizes of the published checkpoint, {@link #mid()}, and
 * {@link #nano()}, the same structure with a few million parameters, which trains on a laptop. The
 * structure is that of Hugging Face's {@code OpenVLAForActionPrediction} with the fused DINOv2 +
 * SigLIP backbone.
 *
 * @param preset name of the preset this came from, for reports
 * @param dino the ViT that reads channels 0–2 of the pixels ({@code vision_backbone.featurizer})
 * @param sigLip the ViT that reads channels 3–5 ({@code vision_backbone.fused_featurizer})
 * @param projectorWidth hidden channels of the projector's first layer (four times its input)
 * @param text the decoder
 * @param vocabularyPadding rows at the end of the vocabulary that no token uses but the padding
 *     token ({@code pad_to_multiple_of}); the action ids end right before them
 * @param actionBins ids of the action discretisation, see {@link ActionTokenizer}
 * @param bosToken id every sequence starts with
 * @param alignedLayer hidden state the paper aligns, in Hugging Face's count (0 = embeddings)
 */
public record OpenVlaConfig(
    String preset,
    VisionConfig dino,
    VisionConfig sigLip,
    int projectorWidth,
    LlamaConfig text,
    int vocabularyPadding,
    int actionBins,
    int bosToken,
    int alignedLayer) {

  public OpenVlaConfig {
    if (dino.imageSize() != sigLip.imageSize() || dino.grid() != sigLip.grid()) {
      throw new IllegalArgumentException(
          "sigLip must see the images and patches of dino: "
              + String.format(
                  Locale.ROOT,
                  "dino %d px in %d×%d, sigLip %d px in %d×%d",
                  dino.imageSize(),
                  dino.grid(),
                  dino.grid(),
                  sigLip.imageSize(),
                  sigLip.grid(),
                  sigLip.grid()));
    }
    requireSecondToLast("dino", dino);
    requireSecondToLast("sigLip", sigLip);
    Checks.atLeast("projectorWidth", projectorWidth, 1);
    Checks.atLeast("vocabularyPadding", vocabularyPadding, 0);
    Checks.atLeast("actionBins", actionBins, 2);
    long notText = (long) actionBins + vocabularyPadding;
    if (notText >= text.vocabularySize()) {
      throw new IllegalArgumentException(
          String.format(
              Locale.ROOT,
              "vocabularySize must exceed actionBins + vocabularyPadding = %d, found %d",
              notText,
              text.vocabularySize()));
    }
    if (bosToken < 0 || bosToken >= text.vocabularySize() - vocabularyPadding - actionBins) {
      throw new IllegalArgumentException("bosToken must be a text id, found " + bosToken);
    }
    Checks.index("alignedLayer", alignedLayer, text.layers());
  }

  private static void requireSecondToLast(String name, VisionConfig vision) {
    if (vision.depth() < 2) {
      throw new IllegalArgumentException(
          name + ".depth must be at least 2 (its second-to-last block is used), found 1");
    }
  }

  /** The published OpenVLA-7B: 982 tensors, 7,541,237,184 parameters. */
  public static OpenVlaConfig openVla7b() {
    return new OpenVlaConfig(
        "openvla-7b",
        VisionConfig.dinoV2Large(),
        VisionConfig.sigLipSo400m(),
        8704,
        LlamaConfig.llama2With7b(),
        64,
        256,
        1,
        16);
  }

  /**
   * The same structure in miniature, 4.3 million parameters: 84 pixels, 36 image tokens, D = 192,
   * four decoder blocks, vocabulary 1024 (768 text ids, 256 action ids) + 64.
   */
  public static OpenVlaConfig nano() {
    return new OpenVlaConfig(
        "nano",
        VisionConfig.vit(84, 14, 128, 4, 4, 512)
            .with()
            .classTokens(1)
            .registerTokens(4)
            .layerScale(true)
            .build(),
        VisionConfig.vit(84, 14, 96, 4, 4, 360).withAttentionPool(true),
        896,
        new LlamaConfig(192, 512, 4, 6, 1088, 512, 1e-6, 10000),
        64,
        256,
        1,
        2);
  }

  /**
   * The smallest, 1.3 million parameters, which trains whole, from nothing, in minutes: nano's
   * pixels and words, D = 96, 31 action ids.
   */
  public static OpenVlaConfig pico() {
    return new OpenVlaConfig(
        "pico",
        VisionConfig.vit(84, 14, 96, 4, 3, 288)
            .with()
            .classTokens(1)
            .registerTokens(4)
            .layerScale(true)
            .build(),
        VisionConfig.vit(84, 14, 48, 2, 2, 144).withAttentionPool(true),
        448,
        new LlamaConfig(96, 256, 4, 3, 1088, 512, 1e-6, 10000),
        64,
        31,
        1,
        2);
  }

  /**
   * The same structure at about 300 million parameters, as many as a CPU trains in seconds per
   * step: 224 pixels and 256 image tokens as OpenVLA has them, D = 768, twenty decoder blocks,
   * Llama's vocabulary.
   */
  public static OpenVlaConfig mid() {
    return new OpenVlaConfig(
        "mid",
        VisionConfig.vit(224, 14, 768, 12, 12, 3072)
            .with()
            .classTokens(1)
            .registerTokens(4)
            .layerScale(true)
            .build(),
        VisionConfig.vit(224, 14, 384, 12, 6, 1536).withAttentionPool(true),
        4608,
        new LlamaConfig(768, 2048, 20, 12, 32064, 1024, 1e-6, 10000),
        64,
        256,
        1,
        10);
  }

  /**
   * The preset of this name.
   *
   * @throws IllegalArgumentException if there is none, naming those there are
   */
  public static OpenVlaConfig ofPreset(String name) {
    return switch (name) {
      case "openvla-7b" -> openVla7b();
      case "mid" -> mid();
      case "nano" -> nano();
      case "pico" -> pico();
      default ->
          throw new IllegalArgumentException(
              "preset must be openvla-7b, mid, nano or pico, found \"" + name + "\"");
    };
  }

  /** Image tokens N in the sequence. */
  public int imageTokens() {
    return dino.patches();
  }

  /** Vocabulary without its padding: one past the last action id (32000 for OpenVLA-7B). */
  public int actionTokenEnd() {
    return text.vocabularySize() - vocabularyPadding;
  }

  /** How it writes actions. */
  public ActionTokenizer actions() {
    return new ActionTokenizer(actionTokenEnd(), actionBins);
  }

  /** First action id (31744 for OpenVLA-7B). */
  public int actionTokenBegin() {
    return actionTokenEnd() - actionBins;
  }
}
