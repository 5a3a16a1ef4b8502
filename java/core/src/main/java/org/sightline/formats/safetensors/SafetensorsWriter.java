package org.sightline.formats.safetensors;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.stream.LongStream;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.sightline.formats.file.AtomicFile;

/** The writing half of {@link Safetensors}. */
final class SafetensorsWriter {
  private SafetensorsWriter() {}

  static void write(Path file, Map<String, Tensor> tensors, Map<String, String> metadata)
      throws IOException {
    List<TensorInfo> infos = new ArrayList<>();
    tensors.forEach((name, tensor) -> infos.add(describe(name, tensor)));
    write(file, infos, tensors::get, metadata);
  }

  /**
   * Writes tensors that are made one after another: no more than one is in memory because of this.
   *
   * @param infos name, type and shape of each; their places are not used
   * @param source asked once for each, in the order of the file; what it makes is freed
   */
  static void write(
      Path file, Collection<TensorInfo> infos, TensorSource source, Map<String, String> metadata)
      throws IOException {
    SafetensorsHeader header = SafetensorsHeader.layOut(metadata, infos);
    byte[] json = header.toBytes();
    if (json.length > SafetensorsHeader.MAX_BYTES) {
      throw new IllegalArgumentException(
          "header length: found %s, expected at most %s"
              .formatted(json.length, SafetensorsHeader.MAX_BYTES));
    }
    AtomicFile.write(
        file,
        channel -> {
          ByteBuffer prefix = ByteBuffer.allocate(8 + json.length).order(ByteOrder.LITTLE_ENDIAN);
          AtomicFile.writeFully(channel, prefix.putLong(json.length).put(json).flip());
          for (TensorInfo info : header.tensors().values()) {
            try (PointerScope scope = new PointerScope()) {
              Tensor tensor = source.tensor(info.name());
              requireAsPlanned(info, tensor);
              writeTensor(channel, tensor, info.end() - info.begin());
            }
          }
        });
  }

  /** What a tensor's entry in a header will say. */
  private static TensorInfo describe(String name, Tensor tensor) {
    if (name.equals(SafetensorsHeader.METADATA)) {
      throw new IllegalArgumentException(
          "tensor name: found '" + name + "', expected any other: it is reserved");
    }
    if (tensor == null || tensor.isNull() || !tensor.defined()) {
      throw new IllegalArgumentException(
          "tensor '" + name + "': found an undefined tensor, expected a defined one");
    }
    try {
      return new TensorInfo(name, ElementType.of(tensor), shape(tensor), 0, 0);
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException("tensor '" + name + "': " + e.getMessage(), e);
    }
  }

  private static void requireAsPlanned(TensorInfo planned, Tensor tensor) {
    TensorInfo found = describe(planned.name(), tensor);
    if (found.type() != planned.type() || !found.shape().equals(planned.shape())) {
      throw new IllegalArgumentException(
          "tensor '%s': found %s %s, expected %s %s as announced"
              .formatted(
                  planned.name(), found.type(), found.shape(), planned.type(), planned.shape()));
    }
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
        AtomicFile.writeFully(
            channel, Safetensors.slice(data, done, Math.min(Safetensors.CHUNK, bytes - done)));
      }
    }
  }

  private static List<Long> shape(Tensor tensor) {
    return LongStream.range(0, tensor.dim()).mapToObj(tensor::size).toList();
  }
}
