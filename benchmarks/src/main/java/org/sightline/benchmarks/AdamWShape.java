package org.sightline.benchmarks;

import java.util.ArrayList;
import java.util.List;

/**
 * The adapter tensors of a model.
 *
 * @param elements size of every tensor
 */
record AdamWShape(List<Long> elements) {
  private static final int RANK = 32;

  /**
   * A standard set.
   *
   * @param family openvla-7b: the 878 tensors, 110,828,288 parameters of r = 32 on all linears and
   *     patch embeddings; nano: four decoder blocks and their vocabulary head at r = 32; tiny
   */
  static AdamWShape of(String family) {
    List<Long> sizes = new ArrayList<>();
    switch (family) {
      case "tiny" -> sizes.addAll(List.of(1L, 7L, 65L, 207L, 1031L));
      case "nano" -> {
        decoder(sizes, 4, 192, 512);
        pair(sizes, 192, 1088);
      }
      case "openvla-7b" -> {
        decoder(sizes, 32, 4096, 11008);
        pair(sizes, 4096, 32064);
        pair(sizes, 2176, 8704);
        pair(sizes, 8704, 4096);
        pair(sizes, 4096, 4096);
        vision(sizes, 24, 1024, 4096);
        vision(sizes, 27, 1152, 4304);
        // SigLIP's attention pooling, wrapped though unused.
        pair(sizes, 1152, 1152);
        pair(sizes, 1152, 2304);
        pair(sizes, 1152, 1152);
        pair(sizes, 1152, 4304);
        pair(sizes, 4304, 1152);
      }
      default ->
          throw new IllegalArgumentException(
              "shape must be nano, openvla-7b or tiny, found \"" + family + "\"");
    }
    return new AdamWShape(List.copyOf(sizes));
  }

  private static void decoder(List<Long> sizes, int blocks, long hidden, long inner) {
    for (int block = 0; block < blocks; block++) {
      for (int attention = 0; attention < 4; attention++) {
        pair(sizes, hidden, hidden);
      }
      pair(sizes, hidden, inner);
      pair(sizes, hidden, inner);
      pair(sizes, inner, hidden);
    }
  }

  private static void vision(List<Long> sizes, int blocks, long hidden, long inner) {
    pair(sizes, 3 * 14 * 14, hidden);
    for (int block = 0; block < blocks; block++) {
      pair(sizes, hidden, 3 * hidden);
      pair(sizes, hidden, hidden);
      pair(sizes, hidden, inner);
      pair(sizes, inner, hidden);
    }
  }

  private static void pair(List<Long> sizes, long in, long out) {
    sizes.add(RANK * in);
    sizes.add(RANK * out);
  }

  long parameters() {
    return elements.stream().mapToLong(Long::longValue).sum();
  }
}
