package org.sightline.vla.finetune;

import io.soabase.recordbuilder.core.RecordBuilder;
import java.util.List;
import org.sightline.Checks;
import org.sightline.train.FineTuneConfig;
import org.sightline.train.LayerReduction;
import org.sightline.train.TeacherNorm;
import org.sightline.vla.model.OpenVlaConfig;

/**
 * What is pulled towards the teacher, and how hard.
 *
 * @param lambda λ ≥ 0 in total = action + λ · alignment
 * @param layers aligned hidden states, 0 those of the embeddings; empty: the model's own choice
 * @param layerReduction what becomes of several layers' losses
 * @param teacherNorm what becomes of the teacher's features first
 * @param projectorInit what the projectors are at the start
 * @param projectorSize P, hidden width of the projector (2048 in the paper)
 * @param trainProjector whether the projectors are trained too (the paper keeps them frozen)
 * @param projectorDropout of trained projectors (0.1 in the paper's code)
 */
@RecordBuilder
public record AlignmentConfig(
    double lambda,
    List<Integer> layers,
    LayerReduction layerReduction,
    TeacherNorm teacherNorm,
    ProjectorInit projectorInit,
    int projectorSize,
    boolean trainProjector,
    double projectorDropout)
    implements AlignmentConfigBuilder.With {
  /** The paper's λ and frozen projector, which is small enough for a nano model. */
  public static final AlignmentConfig DEFAULTS =
      AlignmentConfigBuilder.builder()
          .lambda(FineTuneConfig.DEFAULT_LAMBDA)
          .layers(List.of())
          .layerReduction(LayerReduction.SUM)
          .teacherNorm(TeacherNorm.NONE)
          .projectorInit(ProjectorInit.RANDOM)
          .projectorSize(256)
          .build();

  /**
   * Checks every value.
   *
   * @throws IllegalArgumentException naming the argument, the value found and the value expected
   */
  public AlignmentConfig {
    layers = List.copyOf(layers);
    Checks.notNegative("lambda", lambda);
    Checks.atLeast("projectorSize", projectorSize, 1);
    Checks.belowOne("projectorDropout", projectorDropout);
    if (layers.stream().distinct().count() != layers.size()) {
      throw new IllegalArgumentException("layers must be distinct, found " + layers);
    }
    if (projectorDropout > 0 && !trainProjector) {
      throw new IllegalArgumentException(
          "projectorDropout must be 0 without trainProjector, found " + projectorDropout);
    }
  }

  /** A builder that starts with {@link #DEFAULTS}. */
  public static AlignmentConfigBuilder builder() {
    return AlignmentConfigBuilder.builder(DEFAULTS);
  }

  /**
   * The same with the layers of a model named.
   *
   * @throws IllegalArgumentException if it has no such layer
   */
  public AlignmentConfig of(OpenVlaConfig model) {
    for (int layer : layers) {
      if (layer < 0 || layer > model.text().layers()) {
        throw new IllegalArgumentException(
            "layers must be in 0..%d for %s, found %d"
                .formatted(model.text().layers(), model.preset(), layer));
      }
    }
    return layers.isEmpty() ? withLayers(List.of(model.alignedLayer())) : this;
  }
}
