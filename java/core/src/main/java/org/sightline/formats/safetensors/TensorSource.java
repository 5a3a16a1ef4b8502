package org.sightline.formats.safetensors;

import java.io.IOException;
import org.bytedeco.pytorch.Tensor;

/** Makes or reads tensors one at a time, so that a file larger than memory can be written. */
@FunctionalInterface
public interface TensorSource {
  /**
   * The tensor of a name. It is called inside a {@code PointerScope} that ends when the tensor is
   * written.
   */
  Tensor tensor(String name) throws IOException;
}
