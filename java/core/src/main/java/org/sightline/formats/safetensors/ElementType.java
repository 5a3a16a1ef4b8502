package org.sightline.formats.safetensors;

import java.util.Arrays;
import java.util.stream.Collectors;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * The element types of the safetensors format that occupy whole bytes, under the names it gives
 * them.
 *
 * <p>The order is that of the official library (increasing alignment) and is significant: the
 * writer lays tensors out from the last type to the first.
 */
public enum ElementType {
  BOOL(1, torch.ScalarType.Bool),
  U8(1, torch.ScalarType.Byte),
  I8(1, torch.ScalarType.Char),
  F8_E5M2(1, torch.ScalarType.Float8_e5m2),
  F8_E4M3(1, torch.ScalarType.Float8_e4m3fn),
  F8_E8M0(1, torch.ScalarType.Float8_e8m0fnu),
  I16(2, torch.ScalarType.Short),
  U16(2, torch.ScalarType.UInt16),
  F16(2, torch.ScalarType.Half),
  BF16(2, torch.ScalarType.BFloat16),
  I32(4, torch.ScalarType.Int),
  U32(4, torch.ScalarType.UInt32),
  F32(4, torch.ScalarType.Float),
  C64(8, torch.ScalarType.ComplexFloat),
  F64(8, torch.ScalarType.Double),
  I64(8, torch.ScalarType.Long),
  U64(8, torch.ScalarType.UInt64);

  private final int bytes;
  private final torch.ScalarType scalarType;

  ElementType(int bytes, torch.ScalarType scalarType) {
    this.bytes = bytes;
    this.scalarType = scalarType;
  }

  /** Size of one element. */
  public int bytes() {
    return bytes;
  }

  public torch.ScalarType scalarType() {
    return scalarType;
  }

  /**
   * The type of a tensor's elements.
   *
   * @throws IllegalArgumentException if safetensors has no such type (quantised, double complex)
   */
  public static ElementType of(Tensor tensor) {
    torch.ScalarType found = tensor.scalar_type().intern();
    for (ElementType type : values()) {
      if (type.scalarType == found) {
        return type;
      }
    }
    throw new IllegalArgumentException(
        "tensor dtype: found " + found + ", expected one that safetensors can hold: " + names());
  }

  static String names() {
    return Arrays.stream(values()).map(Enum::name).collect(Collectors.joining(", "));
  }
}
