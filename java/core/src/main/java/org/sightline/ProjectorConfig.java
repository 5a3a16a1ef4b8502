package org.sightline;

import io.soabase.recordbuilder.core.RecordBuilder;
import java.util.Objects;

/**
 * Sizes and behaviour of an {@link AlignmentProjector}.
 *
 * @param hiddenSize D, width of the hidden states
 * @param projectorSize P, width of the two inner layers
 * @param teacherSize Z, width of the teacher features
 * @param trainable whether the projector's weights receive gradients; the paper freezes them, since
 *     a trained projector absorbs the loss in the backbone's place
 * @param dropout probability in [0, 1) after each SiLU while training; 0 unless trainable
 * @param compute operand type of the matrix products
 * @param seed of the initial weights and of the dropout masks
 */
@RecordBuilder
public record ProjectorConfig(
    long hiddenSize,
    long projectorSize,
    long teacherSize,
    boolean trainable,
    double dropout,
    DType compute,
    long seed)
    implements ProjectorConfigBuilder.With {

  public ProjectorConfig {
    Checks.atLeast("hiddenSize", hiddenSize, 1);
    Checks.atLeast("projectorSize", projectorSize, 1);
    Checks.atLeast("teacherSize", teacherSize, 1);
    Objects.requireNonNull(compute, "compute");
    Checks.belowOne("dropout", dropout);
    if (dropout > 0 && !trainable) {
      throw new IllegalArgumentException(
          "dropout must be 0 in a frozen projector, found " + dropout);
    }
  }

  /** A frozen fp32 projector with seed 0. */
  public static ProjectorConfig of(long hiddenSize, long projectorSize, long teacherSize) {
    return new ProjectorConfig(hiddenSize, projectorSize, teacherSize, false, 0, DType.FLOAT32, 0);
  }
}
