package org.sightline.vla.model;

import java.nio.charset.StandardCharsets;

/** Independent seeds for named tensors, so that one tensor's values depend on no other's. */
public final class Seeds {
  private Seeds() {}

  /** Mixes a name into a seed (FNV-1a over its UTF-8 bytes, finished by SplitMix64). */
  public static long of(long seed, String name) {
    long hash = 0xcbf29ce484222325L ^ seed;
    for (byte b : name.getBytes(StandardCharsets.UTF_8)) {
      hash = (hash ^ (b & 0xff)) * 0x100000001b3L;
    }
    hash = (hash ^ (hash >>> 30)) * 0xbf58476d1ce4e5b9L;
    hash = (hash ^ (hash >>> 27)) * 0x94d049bb133111ebL;
    return hash ^ (hash >>> 31);
  }
}
