package org.sightline.vla.data.text;

/**
 * Actions as words: each dimension in [-1,1] becomes one of 256 ids at the end of the text
 * vocabulary, as in OpenVLA (PAPER: arXiv 2510.25616 follows it unchanged).
 *
 * <p>256 edges {@code linspace(-1, 1, 256)} bound 255 bins of width 2/255. {@code digit =
 * digitize(x, edges)} counts the edges ≤ x, so it runs from 1 to 256, where 256 is reached by x = 1
 * alone; {@code id = vocabularySize − digit}. Decoding gives the centre of the bin, and 256 shares
 * the last one, so a round trip errs by at most 1/255.
 *
 * @param vocabularySize number of ids without the padding rows of the embedding: 32000 for OpenVLA
 *     (32064 rows − 64), 1024 for the nano preset (1088 rows − 64)
 */
public record ActionTokenizer(int vocabularySize) {
  /** Number of edges, and of ids. */
  public static final int BINS = 256;

  private static final double[] EDGES = new double[BINS];

  static {
    double step = 2.0 / (BINS - 1);
    for (int i = 0; i < BINS; i++) {
      EDGES[i] = i == BINS - 1 ? 1.0 : i * step - 1.0;
    }
  }

  public ActionTokenizer {
    if (vocabularySize <= BINS) {
      throw new IllegalArgumentException(
          "vocabularySize: found " + vocabularySize + ", expected more than " + BINS);
    }
  }

  /** The smallest action id, that of the value 1. */
  public long firstId() {
    return vocabularySize - BINS;
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
    int digit = java.util.Arrays.binarySearch(EDGES, clipped);
    // Found at index i: i + 1 edges are <= value. Not found: the insertion point counts them.
    digit = digit >= 0 ? digit + 1 : -digit - 1;
    return vocabularySize - digit;
  }

  /** The bin centre of an id; ids outside the action range give the nearest end, as in OpenVLA. */
  public double decode(long id) {
    int bin = (int) (lastId() - Math.max(firstId() + 1, Math.min(lastId(), id)));
    return (EDGES[bin] + EDGES[bin + 1]) / 2;
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
