package org.sightline.vla.data.image;

import org.sightline.Seeds;

/**
 * Random numbers that are a function of where they are used, not of what was drawn before: the i-th
 * number of a key is {@code mix(key + (i + 1)·φ)}, the i-th output of SplitMix64 started at the key
 * (Steele, Lea, Flood, OOPSLA 2014). Threads and restarts cannot change them.
 */
public final class CounterRandom {
  private CounterRandom() {}

  /** A key for a place, e.g. (dataset, episode, step, view). */
  public static long key(long seed, long... place) {
    long key = Seeds.mix(seed + Seeds.GOLDEN_RATIO);
    for (long part : place) {
      key = Seeds.mix(key + Seeds.GOLDEN_RATIO + Seeds.mix(part + Seeds.GOLDEN_RATIO));
    }
    return key;
  }

  /** Uniform in [0,1), 53 bits. */
  public static double uniform(long key, long index) {
    return (bits(key, index) >>> 11) * 0x1p-53;
  }

  /** Uniform in [low,high). */
  public static double uniform(long key, long index, double low, double high) {
    return low + (high - low) * uniform(key, index);
  }

  /** Uniform in 0 … bound-1; the bias is below bound · 2^-32. */
  public static int below(long key, long index, int bound) {
    return (int) (((bits(key, index) >>> 32) * bound) >>> 32);
  }

  private static long bits(long key, long index) {
    return Seeds.mix(key + (index + 1) * Seeds.GOLDEN_RATIO);
  }
}
