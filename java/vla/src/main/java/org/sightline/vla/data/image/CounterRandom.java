package org.sightline.vla.data.image;

import java.nio.charset.StandardCharsets;

/**
 * Random numbers that are a function of where they are used, not of what was drawn before: the i-th
 * number of a key is {@code mix(key + (i + 1)·φ)}, the i-th output of SplitMix64 started at the key
 * (Steele, Lea, Flood, OOPSLA 2014). Threads and restarts cannot change them.
 */
public final class CounterRandom {
  private static final long GOLDEN_RATIO = 0x9e3779b97f4a7c15L;

  private CounterRandom() {}

  /** A key for a place, e.g. (dataset, episode, step, view). */
  public static long key(long seed, long... place) {
    long key = mix(seed + GOLDEN_RATIO);
    for (long part : place) {
      key = mix(key + GOLDEN_RATIO + mix(part + GOLDEN_RATIO));
    }
    return key;
  }

  /** A text as a number for {@link #key}: FNV-1a of its UTF-8 bytes. */
  public static long number(String text) {
    long hash = 0xcbf29ce484222325L;
    for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
      hash = (hash ^ (b & 0xff)) * 0x100000001b3L;
    }
    return hash;
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
    return mix(key + (index + 1) * GOLDEN_RATIO);
  }

  private static long mix(long z) {
    z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
    z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
    return z ^ (z >>> 31);
  }
}
