package org.sightline.formats.safetensors;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.GitLfs;
import org.sightline.formats.file.SharedFile;

/**
 * A safetensors file: named tensors behind a checked header.
 *
 * <p>{@link #open} reads and checks the header alone; a tensor's bytes are touched when it is asked
 * for, in its own dtype, without a detour through another. {@link #tensor} copies them once, {@link
 * #view} maps them. The file may be of any size.
 *
 * <pre>{@code
 * try (Safetensors file = Safetensors.open(Path.of("model.safetensors"))) {
 *   Tensor weight = file.tensor("language_model.lm_head.weight");
 * }
 * }</pre>
 *
 * <p>Instances may be shared between threads.
 */
public final class Safetensors implements AutoCloseable {
  /** A ByteBuffer spans less than 2 GiB. */
  static final long CHUNK = 1L << 30;

  private final Path file;
  private final SharedFile content;
  private final long dataStart;
  private final SafetensorsHeader header;
  private volatile Throwable closedAt;

  private Safetensors(Path file, SharedFile content, long dataStart, SafetensorsHeader header) {
    this.file = file;
    this.content = content;
    this.dataStart = dataStart;
    this.header = header;
  }

  /**
   * Opens a file and checks its header against the format and the file's size.
   *
   * @throws FormatException if the file is not well formed: names the key, what was found and what
   *     was expected
   * @throws IOException if it cannot be read
   */
  public static Safetensors open(Path file) throws IOException {
    requireLittleEndian();
    GitLfs.requireContent(file);
    SharedFile content = SharedFile.toRead(file);
    try {
      long size = content.size();
      if (size < 8) {
        throw new FormatException(
            file, "header length", "a file of " + size + " bytes", "8 or more");
      }
      ByteBuffer prefix = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);
      readFully(file, content, prefix, 0);
      long length = prefix.flip().getLong();
      if (length < 0 || length > SafetensorsHeader.MAX_BYTES) {
        throw new FormatException(
            file,
            "header length",
            Long.toUnsignedString(length),
            "at most " + SafetensorsHeader.MAX_BYTES);
      }
      if (length > size - 8) {
        throw new FormatException(
            file,
            "header length",
            Long.toString(length),
            "at most " + (size - 8) + ", what the file holds after these 8 bytes");
      }
      ByteBuffer json = ByteBuffer.allocate((int) length);
      readFully(file, content, json, 8);
      long dataStart = 8 + length;
      SafetensorsHeader header = SafetensorsHeader.parse(file, json.flip(), size - dataStart);
      return new Safetensors(file, content, dataStart, header);
    } catch (IOException | RuntimeException e) {
      content.close();
      throw e;
    }
  }

  /** The file this was opened from. */
  public Path file() {
    return file;
  }

  /** The strings under {@code __metadata__}; empty if there are none. */
  public Map<String, String> metadata() {
    return Collections.unmodifiableMap(header.metadata());
  }

  /** The names of all tensors, in the order of their bytes. */
  public Set<String> names() {
    return Collections.unmodifiableSet(header.tensors().keySet());
  }

  /**
   * Type, shape and place of a tensor, without reading it.
   *
   * @throws IllegalArgumentException if there is no such tensor
   */
  public TensorInfo info(String name) {
    TensorInfo info = header.tensors().get(Objects.requireNonNull(name, "name"));
    if (info == null) {
      throw new IllegalArgumentException(
          file + ": found no tensor '" + name + "' among " + header.tensors().size());
    }
    return info;
  }

  /**
   * A tensor of its own on the CPU, read with one copy. It may be written to and outlives this
   * object.
   *
   * @throws IllegalArgumentException if there is no such tensor
   * @throws IllegalStateException if this object is closed
   */
  public Tensor tensor(String name) throws IOException {
    return tensor(name, CHUNK);
  }

  Tensor tensor(String name, long chunk) throws IOException {
    TensorInfo info = info(name);
    requireOpen();
    requireMemory(name, info.end() - info.begin());
    Tensor tensor = allocate(info);
    try {
      long bytes = info.end() - info.begin();
      BytePointer data = bytes == 0 ? null : new BytePointer(tensor.data_ptr());
      for (long done = 0; done < bytes; done += chunk) {
        ByteBuffer slice = slice(data, done, Math.min(chunk, bytes - done));
        readFully(file, content, slice, dataStart + info.begin() + done);
      }
      return tensor;
    } catch (IOException | RuntimeException e) {
      tensor.close();
      throw e;
    }
  }

  /**
   * A tensor on the CPU whose memory is the file itself, mapped read-only: nothing is copied, pages
   * are loaded when first read and are shared between processes. The mapping lives as long as any
   * tensor that uses it, also after {@link #close}.
   *
   * <p><b>Never write to it</b>, in place or as an output: the process would die of a segmentation
   * fault. It would also die if another process cut the file short meanwhile. Where the file's
   * bytes are not aligned for the type, or exceed 2 GiB for one tensor, this is {@link #tensor}.
   *
   * @throws IllegalArgumentException if there is no such tensor
   * @throws IllegalStateException if this object is closed
   */
  public Tensor view(String name) throws IOException {
    TensorInfo info = info(name);
    requireOpen();
    long bytes = info.end() - info.begin();
    long position = dataStart + info.begin();
    if (bytes == 0 || bytes > Integer.MAX_VALUE || position % info.type().bytes() != 0) {
      return tensor(name);
    }
    return MappedTensors.map(content, position, info);
  }

  /** Closes the file. Tensors and views that were taken stay valid. */
  @Override
  public void close() throws IOException {
    if (closedAt == null) {
      closedAt = new Throwable("closed here");
      content.close();
    }
  }

  /**
   * Writes tensors to a file, byte for byte as the official library does (metadata sorted by key).
   *
   * <p>Atomic: the file appears complete or not at all, and a file that was there before stays as
   * it was if anything fails. Tensors may live on any device and have any strides.
   *
   * @param tensors by name; {@code __metadata__} is not a name
   * @param metadata free strings, such as {@code format → pt}; may be empty
   * @throws IllegalArgumentException if a tensor is undefined or of a type the format cannot hold
   */
  public static void write(Path file, Map<String, Tensor> tensors, Map<String, String> metadata)
      throws IOException {
    requireLittleEndian();
    SafetensorsWriter.write(file, tensors, metadata);
  }

  /** Some of a tensor's bytes. */
  ByteBuffer bytes(TensorInfo info, long offset, int length) throws IOException {
    requireOpen();
    ByteBuffer bytes = ByteBuffer.allocate(length);
    readFully(file, content, bytes, dataStart + info.begin() + offset);
    return bytes.flip();
  }

  /**
   * Passes unless what is to be read is more than this machine can hold: a file may consist of
   * holes, and Linux grants memory that there is not.
   *
   * @param what the tensor, or all that are to be read
   */
  private void requireMemory(String what, long bytes) throws FormatException {
    if (ManagementFactory.getOperatingSystemMXBean() instanceof OperatingSystemMXBean system) {
      long memory = system.getTotalMemorySize() + system.getTotalSwapSpaceSize();
      if (bytes > memory) {
        throw new FormatException(
            file, what, bytes + " bytes", "at most the memory of this machine, " + memory);
      }
    }
  }

  /**
   * Passes if all tensors together fit into the memory of this machine.
   *
   * @throws FormatException if they do not: nothing need be read then
   */
  public void requireMemory() throws IOException {
    requireMemory("data", content.size() - dataStart);
  }

  /** Not in a scope of its own: the tensor belongs to the caller's, as any that torch returns. */
  private static Tensor allocate(TensorInfo info) {
    try (TensorOptions options = new TensorOptions(info.type().scalarType());
        MemoryFormatOptional memoryFormat = new MemoryFormatOptional()) {
      return torch.empty(info.sizes(), options, memoryFormat);
    }
  }

  /** Up to 2 GiB of native memory as a buffer. */
  static ByteBuffer slice(BytePointer data, long offset, long length) {
    Pointer start = data.getPointer(offset);
    return start.capacity(length).asByteBuffer();
  }

  private static void readFully(Path file, SharedFile content, ByteBuffer into, long position)
      throws IOException {
    long end = position + into.remaining();
    content.read(into, position);
    if (into.hasRemaining()) {
      throw new FormatException(
          file,
          "data",
          "the end of the file at " + (end - into.remaining()),
          into.remaining() + " bytes more");
    }
  }

  private static void requireLittleEndian() {
    if (ByteOrder.nativeOrder() != ByteOrder.LITTLE_ENDIAN) {
      throw new UnsupportedOperationException(
          "byte order: found big-endian, expected little-endian, the order of safetensors files");
    }
  }

  private void requireOpen() {
    Throwable where = closedAt;
    if (where != null) {
      throw new IllegalStateException(file + ": used after it was closed", where);
    }
  }
}
