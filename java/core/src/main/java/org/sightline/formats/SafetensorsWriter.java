package org.sightline.formats;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.LongStream;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;

/** The writing half of {@link Safetensors}. */
final class SafetensorsWriter {
  private SafetensorsWriter() {}

  static void write(Path file, Map<String, Tensor> tensors, Map<String, String> metadata)
      throws IOException {
    Map<String, ElementType> types = new LinkedHashMap<>();
    Map<String, List<Long>> shapes = new LinkedHashMap<>();
    for (Map.Entry<String, Tensor> entry : tensors.entrySet()) {
      String name = entry.getKey();
      Tensor tensor = entry.getValue();
      if (name.equals(SafetensorsHeader.METADATA)) {
        throw new IllegalArgumentException(
            "tensor name: found '" + name + "', expected any other: it is reserved");
      }
      if (tensor == null || tensor.isNull() || !tensor.defined()) {
        throw new IllegalArgumentException(
            "tensor '" + name + "': found an undefined tensor, expected a defined one");
      }
      try {
        types.put(name, ElementType.of(tensor));
      } catch (IllegalArgumentException e) {
        throw new IllegalArgumentException("tensor '" + name + "': " + e.getMessage(), e);
      }
      shapes.put(name, shape(tensor));
    }
    SafetensorsHeader header = SafetensorsHeader.layOut(metadata, types, shapes);
    byte[] json = header.toBytes();
    if (json.length > SafetensorsHeader.MAX_BYTES) {
      throw new IllegalArgumentException(
          "header length: found "
              + json.length
              + ", expected at most "
              + SafetensorsHeader.MAX_BYTES);
    }
    AtomicFile.write(
        file,
        channel -> {
          ByteBuffer prefix = ByteBuffer.allocate(8 + json.length).order(ByteOrder.LITTLE_ENDIAN);
          writeFully(channel, prefix.putLong(json.length).put(json).flip());
          for (TensorInfo info : header.tensors().values()) {
            writeTensor(channel, tensors.get(info.name()), info.end() - info.begin());
          }
        });
  }

  private static void writeTensor(FileChannel channel, Tensor tensor, long bytes)
      throws IOException {
    if (bytes == 0) {
      return;
    }
    try (PointerScope scope = new PointerScope()) {
      Tensor plain = tensor.detach().cpu().resolve_conj().contiguous();
      BytePointer data = new BytePointer(plain.data_ptr());
      for (long done = 0; done < bytes; done += Safetensors.CHUNK) {
        writeFully(
            channel, Safetensors.slice(data, done, Math.min(Safetensors.CHUNK, bytes - done)));
      }
    }
  }

  private static List<Long> shape(Tensor tensor) {
    return LongStream.range(0, tensor.dim()).mapToObj(tensor::size).toList();
  }

  static void writeFully(FileChannel channel, ByteBuffer bytes) throws IOException {
    while (bytes.hasRemaining()) {
      channel.write(bytes);
    }
  }
}
