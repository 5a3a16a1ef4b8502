package org.sightline;

import java.nio.charset.StandardCharsets;

/** Seeds made of others: equal ones from equal parts on every machine, else independent. */
public final class Seeds {
  /** The steps in which SplitMix64 counts. */
  public static final long GOLDEN_RATIO = 0x9e3779b97f4a7c15L;

  private Seeds() {}

  /** A seed for what is called {@code name}, which depends on no other name. */
  public static long of(long seed, String name) {
    return mix(hash(seed, name));
  }

  /** FNV-1a over {@code name} in UTF-8, begun at its offset basis XOR {@code seed}. */
  public static long hash(long seed, String name) {
    long hash = 0xcbf29ce484222325L ^ seed;
    for (byte b : name.getBytes(StandardCharsets.UTF_8)) {
      hash = (hash ^ (b & 0xff)) * 0x100000001b3L;
    }
    return hash;
  }

  /** The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). */
  public static long mix(long z) {
    z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
    z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
    return z ^ (z >>> 31);
  }
}
