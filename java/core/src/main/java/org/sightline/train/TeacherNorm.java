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
   * tells them apart stays.
   */
  SPATIAL;

  private static final double EPSILON = 1e-6;

  /**
   * @param features [B,N,Z] with N of at least 2 for {@link #SPATIAL}
   * @return the same shape; computed and returned in fp32 unless nothing is done
   */
  public Tensor apply(Tensor features) {
    if (this == NONE) {
      return features;
    }
    Tensor values = features.to(ScalarType.Float);
    Tensor centred = values.sub(values.mean(new long[] {1}, true, new ScalarTypeOptional()));
    long[] tokens = {1};
    return centred.div(values.std(tokens, true, true).add(new Scalar(EPSILON)));
  }
}
