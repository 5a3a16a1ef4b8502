package org.sightline.vla.data.text;

import org.sightline.Checks;

/**
 * Actions as words: each dimension in [-1,1] becomes one of {@code bins} ids at the end of the text
 * vocabulary, as in OpenVLA (PAPER: arXiv 2510.25616 follows it unchanged), which has 256.
 *
 * <p>The edges {@code linspace(-1, 1, bins)} bound {@code bins - 1} bins of equal width. {@code
 * digit = digitize(x, edges)} counts the edges ≤ x, so it runs from 1 to {@code bins}, which is
 * reached by x = 1 alone; {@code id = vocabularySize − digit}. Decoding gives the centre of the
 * bin, and the last digit shares the last one, so a round trip errs by at most half a width.
 *
 * @param vocabularySize number of ids without the padding rows of the embedding: 32000 for OpenVLA
 *     (32064 rows − 64), 1024 for the nano preset (1088 rows − 64)
 * @param bins number of edges, and of ids
 */
public record ActionTokenizer(int vocabularySize, int bins) {
  public ActionTokenizer {
    Checks.atLeast("bins", bins, 2);
    if (vocabularySize <= bins) {
      throw new IllegalArgumentException(
          "vocabularySize: found " + vocabularySize + ", expected more than " + bins);
    }
  }

  /** The smallest action id, that of the value 1. */
  public long firstId() {
    return vocabularySize - bins;
  }

  /** The largest action id, that of the value -1. */
  public long lastId() {
    return vocabularySize - 1L;
  }

  /** Whether an id stands for an action. */
  public boolean isAction(long id) {
    return id >= firstId() && id <= lastId();
  }

  /** The id of a normalised value, which is clipped to [-1,1]. */
  public long encode(double value) {
    if (Double.isNaN(value)) {
      throw new IllegalArgumentException("action value: found NaN, expected a number in [-1,1]");
    }
    double clipped = Math.max(-1, Math.min(1, value));
    // A guess that rounding may have put one bin aside: the edges decide.
    int digit = (int) ((clipped + 1) / 2 * (bins - 1)) + 1;
    while (digit < bins && edge(digit) <= clipped) {
      digit++;
    }
    while (edge(digit - 1) > clipped) {
      digit--;
    }
    return vocabularySize - digit;
  }

  /** numpy's linspace(-1, 1, bins)[i]. */
  private double edge(int i) {
    return i == bins - 1 ? 1.0 : i * (2.0 / (bins - 1)) - 1.0;
  }

  /** The bin centre of an id; ids outside the action range give the nearest end, as in OpenVLA. */
  public double decode(long id) {
    int bin = (int) (lastId() - Math.max(firstId() + 1, Math.min(lastId(), id)));
    return (edge(bin) + edge(bin + 1)) / 2;
  }

  /** The bin centres of several ids. */
  public float[] decode(long[] ids) {
    float[] values = new float[ids.length];
    for (int i = 0; i < ids.length; i++) {
      values[i] = (float) decode(ids[i]);
    }
    return values;
  }
}
