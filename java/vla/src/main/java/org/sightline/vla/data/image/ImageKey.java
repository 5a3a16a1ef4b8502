package org.sightline.vla.data.image;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import org.sightline.formats.file.Sha256;

/**
 * What picture a row of a batch shows: the first 128 bits of a SHA-256 over the dataset's name,
 * episode, step, augmentation view and the encoded image itself. Together with the seed and the
 * parameters of the augmentation it determines every pixel.
 */
public record ImageKey(long high, long low) {
  /**
   * A key.
   *
   * @param view number of the augmented view, {@code Sample.EVALUATION} for the evaluation's
   * @param encoded the JPEG or PNG bytes
   */
  public static ImageKey of(String dataset, int episode, int step, long view, byte[] encoded) {
    MessageDigest digest = Sha256.begin();
    digest.update(dataset.getBytes(StandardCharsets.UTF_8));
    digest.update(
        ByteBuffer.allocate(17).put((byte) 0).putInt(episode).putInt(step).putLong(view).flip());
    ByteBuffer hash = ByteBuffer.wrap(digest.digest(encoded));
    return new ImageKey(hash.getLong(), hash.getLong());
  }
}
