package org.sightline.vla.data.loader;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.sightline.binding.Scopes;
import org.sightline.vla.data.image.ImageKey;

/**
 * One batch of a vision-language-action model.
 *
 * @param pixelValues float32 [B,6,H,W]: channels 0–2 normalised for DINOv2, 3–5 for SigLIP
 * @param inputIds int64 [B,T], right-padded; starts with BOS, ends with action ids and EOS
 * @param attentionMask int64 [B,T], 1 where inputIds is not padding
 * @param labels int64 [B,T], -100 where unsupervised; not shifted
 * @param actions float32 [B,7], the normalised actions in [-1,1] behind the action ids
 * @param images what each row's pixels show, for caches of what is computed from them; empty where
 *     unknown
 */
public record VlaBatch(
    Tensor pixelValues,
    Tensor inputIds,
    Tensor attentionMask,
    Tensor labels,
    Tensor actions,
    List<ImageKey> images)
    implements AutoCloseable {

  public VlaBatch {
    images = List.copyOf(images);
  }

  /** A batch of images of unknown origin. */
  public VlaBatch(
      Tensor pixelValues, Tensor inputIds, Tensor attentionMask, Tensor labels, Tensor actions) {
    this(pixelValues, inputIds, attentionMask, labels, actions, List.of());
  }

  public long size() {
    return inputIds.size(0);
  }

  /** This batch with other pixels, which it owns as all the rest; its own are closed. */
  VlaBatch withPixelValues(Tensor pixels) {
    pixelValues.close();
    return new VlaBatch(pixels, inputIds, attentionMask, labels, actions, images);
  }

  /** Rows of it, sharing its memory, the caller's to close. */
  public VlaBatch rows(long first, long count) {
    List<ImageKey> keys =
        images.isEmpty() ? images : images.subList((int) first, (int) (first + count));
    return new VlaBatch(
        Scopes.own(pixelValues.narrow(0, first, count)),
        Scopes.own(inputIds.narrow(0, first, count)),
        Scopes.own(attentionMask.narrow(0, first, count)),
        Scopes.own(labels.narrow(0, first, count)),
        Scopes.own(actions.narrow(0, first, count)),
        keys);
  }

  @Override
  public void close() {
    pixelValues.close();
    inputIds.close();
    attentionMask.close();
    labels.close();
    actions.close();
  }
}
