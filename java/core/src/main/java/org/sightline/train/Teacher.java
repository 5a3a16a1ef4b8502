package org.sightline.train;

import org.bytedeco.pytorch.Tensor;

/**
 * A frozen vision model whose patch features the image tokens are aligned to.
 *
 * @param <B> the batch of the policy it teaches
 */
public interface Teacher<B> extends AutoCloseable {
  /** Patch features [B,N,Z] of the batch's images, without gradient, N as the policy's tokens. */
  Tensor features(B batch);

  /** Width Z of the features. */
  long width();

  @Override
  void close();
}
