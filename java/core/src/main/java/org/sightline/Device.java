package org.sightline;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bytedeco.pytorch.SizeTPair;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.sightline.binding.Scopes;

/**
 * Where tensors are, and compute.
 *
 * @param type {@code "cpu"}, {@code "cuda"}, or {@code "meta"}: libtorch's device without memory,
 *     on which shapes are all there is
 * @param index of several; 0 but for CUDA
 */
public record Device(String type, int index) {
  public static final Device CPU = new Device("cpu", 0);
  public static final Device META = new Device("meta", 0);

  private static final Pattern NAME = Pattern.compile("(cpu|cuda|meta)(?::(\\d{1,3}))?");

  /**
   * A device by the name that libtorch has for it.
   *
   * @param name {@code cpu}, {@code cuda}, {@code cuda:1}, or {@code auto}: CUDA where it works,
   *     else the CPU
   * @throws IllegalArgumentException if it is no such name
   */
  public static Device of(String name) {
    if (name.equals("auto")) {
      Device cuda = new Device("cuda", 0);
      return cuda.obstacle() == null ? cuda : CPU;
    }
    Matcher parts = NAME.matcher(name);
    int index = parts.matches() && parts.group(2) != null ? Integer.parseInt(parts.group(2)) : 0;
    if (!parts.matches() || index > 0 && !parts.group(1).equals("cuda")) {
      throw new IllegalArgumentException(
          "device must be auto, cpu, cuda or cuda:N, found \"" + name + "\"");
    }
    return new Device(parts.group(1), index);
  }

  /**
   * This device if libtorch and Sightline can compute on it.
   *
   * @throws IllegalArgumentException if not, with the cause and what to do about it
   */
  public Device ensureAvailable() {
    String obstacle = obstacle();
    if (obstacle != null) {
      throw new IllegalArgumentException(
          "device must be one that works here, found " + this + ": " + obstacle);
    }
    return this;
  }

  /** What keeps this machine from computing there; null: nothing. */
  private String obstacle() {
    return switch (type) {
      case "cuda" -> CudaState.ofProcess().obstacle(index);
      case "meta" -> "it has no memory, so that nothing is computed on it";
      default -> null;
    };
  }

  /**
   * The tensor here: itself if it is here already, else a copy. One from the host to a GPU is
   * queued on the current stream, by way of page-locked memory: nothing waits for it.
   */
  public Tensor move(Tensor tensor) {
    if (type.equals("cpu") && tensor.is_cpu()) {
      return tensor;
    }
    return Scopes.scoped(
        () -> {
          boolean queued = type.equals("cuda") && tensor.is_cpu();
          Tensor source = queued ? tensor.pin_memory() : tensor;
          var device = new org.bytedeco.pytorch.Device(toString());
          return source.to(device, tensor.scalar_type(), queued, false, null);
        });
  }

  /**
   * Memory of a GPU that nobody uses, in bytes.
   *
   * @throws UnsupportedOperationException if it is none
   */
  public long freeBytes() {
    if (!type.equals("cuda")) {
      throw new UnsupportedOperationException("only GPUs tell their free memory, found " + this);
    }
    try (SizeTPair freeAndAll = torch.getMemoryInfo((byte) index)) {
      return freeAndAll.first();
    }
  }

  /** Of a tensor. */
  public static Device of(Tensor tensor) {
    if (tensor.is_cpu()) {
      return CPU;
    }
    try (var device = tensor.device()) {
      return tensor.is_cuda() ? new Device("cuda", device.index()) : META;
    }
  }

  @Override
  public String toString() {
    return type.equals("cuda") ? "cuda:" + index : type;
  }
}
