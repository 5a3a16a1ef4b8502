package org.sightline;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;

/** Tensors as Java values, for comparisons. */
public final class Values {
  private Values() {}

  /** The elements of an fp32 tensor in order, of any strides. */
  public static List<Float> floats(Tensor tensor) {
    try (PointerScope scope = new PointerScope()) {
      float[] values = new float[(int) tensor.numel()];
      tensor.detach().contiguous().data_ptr_float().get(values);
      List<Float> list = new ArrayList<>();
      for (float value : values) {
        list.add(value);
      }
      return list;
    }
  }
}
