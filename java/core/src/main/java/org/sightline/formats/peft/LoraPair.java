package org.sightline.formats.peft;

import java.util.Arrays;
import java.util.List;
import java.util.stream.LongStream;
import org.bytedeco.pytorch.Tensor;
import org.sightline.formats.safetensors.ElementType;

/**
 * The adapter of one module.
 *
 * @param a of a linear layer [r,K]; of a convolution [r,C,kh,kw]
 * @param b of a linear layer [N,r]; of a convolution [N,r,1,1]
 */
public record LoraPair(Tensor a, Tensor b) {
  void close() {
    a.close();
    b.close();
  }

  /** What is wrong with this pair for a rank, or null. */
  String defect(int rank) {
    List<Long> sizesA = sizes(a);
    List<Long> sizesB = sizes(b);
    ElementType type = ElementType.of(a);
    if (!List.of(ElementType.F32, ElementType.BF16, ElementType.F16).contains(type)) {
      return "found dtype " + type + ", expected F32, BF16 or F16";
    }
    if (type != ElementType.of(b)) {
      return "found lora_A of dtype "
          + type
          + " and lora_B of dtype "
          + ElementType.of(b)
          + ", expected the same";
    }
    boolean linear = sizesA.size() == 2 && sizesB.size() == 2;
    boolean convolution =
        sizesA.size() == 4
            && sizesB.size() == 4
            && sizesB.subList(2, 4).equals(Arrays.asList(1L, 1L));
    if (!(linear || convolution) || sizesA.get(0) != rank || sizesB.get(1) != rank) {
      return "found lora_A "
          + sizesA
          + " and lora_B "
          + sizesB
          + ", expected ["
          + rank
          + ", in] and [out, "
          + rank
          + "], or ["
          + rank
          + ", in, kh, kw] and [out, "
          + rank
          + ", 1, 1]";
    }
    return null;
  }

  private static List<Long> sizes(Tensor tensor) {
    return LongStream.range(0, tensor.dim()).mapToObj(tensor::size).toList();
  }
}
