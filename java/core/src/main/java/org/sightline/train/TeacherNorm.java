package org.sightline.train;

import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** What becomes of a teacher's features before the policy's are compared with them. */
public enum TeacherNorm {
  /** Nothing: the paper's. */
  NONE,
  /**
   * iREPA's spatial normalisation (arXiv 2512.10794): of each image and channel, (t − mean) / (std
   * + 1e-6) over the tokens, the deviation that of torch.std. What all patches share goes, what
   * tells them apart stays; a single token becomes 0.
   */
  SPATIAL;

  private static final double EPSILON = 1e-6;

  /**
   * @param features [B,N,Z]
   * @return the same shape; in fp32 unless nothing is done, its statistics in fp64: rounding of the
   *     mean would look like structure in a channel that has none
   */
  public Tensor apply(Tensor features) {
    if (this == NONE) {
      return features;
    }
    long[] tokens = {1};
    Tensor values = features.to(ScalarType.Double);
    Tensor centred = values.sub(values.mean(tokens, true, new ScalarTypeOptional()));
    double others = Math.max(1, features.size(1) - 1);
    Tensor variance =
        centred.square().sum(tokens, true, new ScalarTypeOptional()).div(new Scalar(others));
    return centred.div(variance.sqrt().add(new Scalar(EPSILON))).to(ScalarType.Float);
  }
}
