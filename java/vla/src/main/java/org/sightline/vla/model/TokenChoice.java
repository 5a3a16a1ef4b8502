package org.sightline.vla.model;

import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Tensor;

/** Which token comes next. */
@FunctionalInterface
public interface TokenChoice {
  /** The most likely one over the whole vocabulary; of equals the first. */
  TokenChoice MOST_LIKELY =
      (logits, position) -> BatchChecks.values(logits.argmax(new LongOptional(1), false).cpu());

  /**
   * Chooses for every row of a batch.
   *
   * @param logits finite [B,V], on the model's device in its dtype
   * @param position of the tokens among those generated, from 0
   * @return B ids
   */
  long[] choose(Tensor logits, int position);
}
