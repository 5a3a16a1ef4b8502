package org.sightline.formats.safetensors;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.PointerConsumer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.sightline.formats.file.SharedFile;

/**
 * Tensors over mapped memory. Each mapping is held here until libtorch gives its storage up, so no
 * alias of a tensor, in Java or in native code alone, can outlive its memory.
 */
final class MappedTensors {
  /** By address, which is unique among live mappings. */
  private static final Map<Long, ByteBuffer> LIVE = new ConcurrentHashMap<>();

  // One for all tensors: JavaCPP has only ten native stubs per callback class.
  private static final PointerConsumer RELEASE = new Release();

  private MappedTensors() {}

  static Tensor map(SharedFile file, long position, TensorInfo info) throws IOException {
    ByteBuffer buffer = file.map(position, info.end() - info.begin());
    try (BytePointer data = new BytePointer(buffer);
        TensorOptions options = new TensorOptions(info.type().scalarType())) {
      LIVE.put(data.address(), buffer);
      return torch.from_blob(data, info.sizes(), RELEASE, options);
    }
  }

  /** Number of mappings in use; for tests. */
  static int live() {
    return LIVE.size();
  }

  private static final class Release extends PointerConsumer {
    Release() {
      // Created at first use, perhaps inside a PointerScope that must not free it.
      retainReference();
    }

    @Override
    public void call(Pointer data) {
      LIVE.remove(data.address());
    }
  }
}
