package org.sightline;

import io.soabase.recordbuilder.core.RecordBuilder;
import java.util.Objects;

/**
 * A low-rank adapter's settings (Hu et al., arXiv 2106.09685).
 *
 * @param rank r ≥ 1
 * @param alpha numerator of the scale, which float32 must hold
 * @param dropout probability in [0, 1) on the adapter's input while training
 * @param rankStabilized whether the scale is α/√r (Kalajdzievski, arXiv 2312.03732) rather than α/r
 * @param init how A starts
 */
@RecordBuilder
public record LoraConfig(
    int rank, double alpha, double dropout, boolean rankStabilized, LoraInit init)
    implements LoraConfigBuilder.With {

  public LoraConfig {
    Checks.atLeast("rank", rank, 1);
    if (!Float.isFinite((float) scale(rank, alpha, rankStabilized))) {
      throw new IllegalArgumentException(
          "alpha must be finite, found %s, of rank %d a scale of %s in float32"
              .formatted(alpha, rank, (float) scale(rank, alpha, rankStabilized)));
    }
    Checks.belowOne("dropout", dropout);
    Objects.requireNonNull(init, "init");
  }

  /** No dropout, scale α/r, Kaiming-uniform A. */
  public static LoraConfig of(int rank, double alpha) {
    return new LoraConfig(rank, alpha, 0, false, LoraInit.KAIMING_UNIFORM);
  }

  /** What multiplies the adapter's output: α/r, or α/√r if rank-stabilised. */
  public double scale() {
    return scale(rank, alpha, rankStabilized);
  }

  private static double scale(int rank, double alpha, boolean rankStabilized) {
    return alpha / (rankStabilized ? Math.sqrt(rank) : rank);
  }
}
