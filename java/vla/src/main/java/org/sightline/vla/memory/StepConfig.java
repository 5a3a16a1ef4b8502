package org.sightline.vla.memory;

import io.soabase.recordbuilder.core.RecordBuilder;
import java.util.List;
import java.util.Objects;
import org.sightline.AdamW;
import org.sightline.Checks;
import org.sightline.DType;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.teacher.TeacherConfig;

/**
 * What the memory of a step depends on.
 *
 * @param model the policy's shape
 * @param batchSize B, samples of a micro-batch
 * @param textTokens T, tokens of the longest row: BOS, prompt, actions, EOS
 * @param labelledTokens supervised tokens of a row; 8 in OpenVLA: seven of an action, and EOS
 * @param rank of all adapters
 * @param dtype of weights, adapters and activations
 * @param precision how bf16 adapters keep what their 16 bits cannot
 * @param alignedLayers hidden states that are aligned; empty: fine-tuning without alignment
 * @param projectorSize P, inner width of the alignment projector
 * @param teacher the vision teacher at the size it is used, null where no layer is aligned
 * @param teacherCached whether all its features come from the cache, so that it never runs
 * @param gradientCheckpointing whether a decoder block keeps its input alone
 */
@RecordBuilder
public record StepConfig(
    OpenVlaConfig model,
    int batchSize,
    int textTokens,
    int labelledTokens,
    int rank,
    DType dtype,
    AdamW.Precision precision,
    List<Integer> alignedLayers,
    int projectorSize,
    TeacherConfig teacher,
    boolean teacherCached,
    boolean gradientCheckpointing) {
  /** Of OpenVLA: seven action tokens and EOS. */
  public static final int LABELLED_TOKENS = 8;

  public StepConfig {
    Objects.requireNonNull(model, "model");
    Objects.requireNonNull(dtype, "dtype");
    Objects.requireNonNull(precision, "precision");
    alignedLayers = alignedLayers.stream().sorted().distinct().toList();
    Checks.atLeast("batchSize", batchSize, 1);
    Checks.atLeast("labelledTokens", labelledTokens, 1);
    Checks.atLeast("rank", rank, 1);
    Checks.atLeast("projectorSize", projectorSize, 1);
    if (textTokens <= labelledTokens) {
      throw new IllegalArgumentException(
          "textTokens must exceed labelledTokens %d, found %d"
              .formatted(labelledTokens, textTokens));
    }
    int most = model.text().maxPositions() - model.imageTokens();
    if (textTokens > most) {
      throw new IllegalArgumentException(
          "textTokens must be at most %d, the %d positions of %s without %d image tokens, found %d"
              .formatted(
                  most,
                  model.text().maxPositions(),
                  model.preset(),
                  model.imageTokens(),
                  textTokens));
    }
    for (int layer : alignedLayers) {
      Checks.index("alignedLayers", layer, model.text().layers());
    }
    if (!alignedLayers.isEmpty() && teacher == null) {
      throw new IllegalArgumentException(
          "teacher must be given for alignedLayers %s, found null".formatted(alignedLayers));
    }
  }

  /** S, tokens of a row in the decoder: image and text. */
  public int sequence() {
    return model.imageTokens() + textTokens;
  }

  /** Whether there is an alignment loss. */
  public boolean aligned() {
    return !alignedLayers.isEmpty();
  }
}
