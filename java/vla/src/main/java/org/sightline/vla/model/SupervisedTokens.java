package org.sightline.vla.model;

import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.sightline.Device;

/**
 * Where a batch is supervised, and with what: the only places logits are worth computing.
 *
 * @param rows int64 [n], rows of the final hidden states flattened to [B·S,D] whose <em>next</em>
 *     token is labelled
 * @param targets int64 [n], those labels
 */
record SupervisedTokens(Tensor rows, Tensor targets) {
  /** Label of tokens that are not supervised. */
  static final long IGNORED = -100;

  /**
   * Finds the supervised tokens of labels [B,T].
   *
   * <p>Image tokens stand after the first text token, so text token t ≥ 1 is at position N + t of
   * the sequence and is predicted from position N + t − 1. The first token's label is never used.
   * Labels on the host cost nothing here; labels on a device cost one synchronisation, the number
   * of supervised tokens.
   *
   * @throws IllegalArgumentException if no token is supervised: the mean would be 0/0
   */
  static SupervisedTokens of(Tensor labels, long imageTokens) {
    long sequence = labels.size(1) + imageTokens;
    Tensor where = supervised(labels).nonzero(); // [n,2]: row, t − 1
    if (where.size(0) == 0) {
      throw new IllegalArgumentException(
          "labels must supervise at least one token after the first, found none (all -100)");
    }
    Tensor batchRow = where.select(1, 0);
    Tensor column = where.select(1, 1);
    Tensor rows = batchRow.mul(new Scalar(sequence)).add(column).add(new Scalar(imageTokens));
    Tensor flat = batchRow.mul(new Scalar(labels.size(1))).add(column).add(new Scalar(1L));
    return new SupervisedTokens(rows, labels.reshape(-1).index_select(0, flat));
  }

  /** How many there are. */
  static long count(Tensor labels) {
    try (PointerScope scope = new PointerScope()) {
      return supervised(labels).sum().item_long();
    }
  }

  private static Tensor supervised(Tensor labels) {
    return labels.narrow(1, 1, labels.size(1) - 1).ne(new Scalar(IGNORED));
  }

  SupervisedTokens to(Device device) {
    return new SupervisedTokens(device.move(rows), device.move(targets));
  }
}
