package org.sightline;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Properties;
import org.bytedeco.pytorch.Context;
import org.bytedeco.pytorch.global.torch;
import org.sightline.binding.sightline;
import org.sightline.binding.sl_capability;

/**
 * Start-up and facts of the native library.
 *
 * <p>Call {@link #load} before the first use of libtorch: settings described in {@link #load} can
 * only be made then. The other classes of this library call it themselves.
 */
public final class Sightline {
  private Sightline() {}

  /**
   * Loads the native libraries, once; later calls do nothing.
   *
   * <ul>
   *   <li>All native libraries are unpacked, once and by one process at a time, to {@code
   *       sightline-USER} in {@code ~/.javacpp/cache}, or in the folder that {@code
   *       org.bytedeco.javacpp.cachedir} names, and loaded from there: a folder of this user alone,
   *       with one for each content. If libtorch is loaded first, JavaCPP does this in its own way.
   *   <li>JavaCPP's limit on the memory of the whole process is lifted ({@code
   *       org.bytedeco.javacpp.maxPhysicalBytes=0}) unless it is set: its default, four times the
   *       Java heap, stops training runs although memory is free.
   *   <li>{@code OMP_WAIT_POLICY=PASSIVE} is set unless that or {@code GOMP_SPINCOUNT} is: libtorch
   *       runs OpenMP's threads and those of OpenBLAS in turn, and OpenMP's, spinning while they
   *       wait, take the cores from the others. Small fp32 products take 15 times as long then.
   *   <li>{@code OPENBLAS_THREAD_TIMEOUT=16} is set unless it is: OpenBLAS's threads, which poll
   *       for some 30 ms after a product, take the cores from whatever OpenMP work follows it. Our
   *       calls between libtorch's products take 1.6 times as long then.
   *   <li>A process whose threads are still computing when the JVM ends, by {@code System.exit}, a
   *       signal or the end of {@code main}, ends at once, after all shutdown hooks, but without
   *       C's exit handlers: OpenBLAS's would wait for ever for a thread within a product. If no
   *       thread computes they run as ever.
   * </ul>
   *
   * @throws UnsatisfiedLinkError if a library is missing or does not fit; the message names all
   *     causes
   */
  public static void load() {
    NativeLibraries.load();
  }

  /** The version of the native library, such as {@code "0.1.0"}. */
  public static String version() {
    load();
    return sightline.sl_version().getString();
  }

  /**
   * The commit of the sources this library was built from, as 40 hexadecimal digits; {@code
   * "unknown"} if they were not in their repository then. Loads nothing.
   */
  public static String commit() {
    Properties build = new Properties();
    try (InputStream in = Sightline.class.getResourceAsStream("build.properties")) {
      build.load(in);
    } catch (IOException e) {
      throw new UncheckedIOException("build.properties of Sightline cannot be read", e);
    }
    return build.getProperty("commit");
  }

  /** The CPU backend. */
  public static Backend cpu() {
    return backend("cpu", sightline.SL_CPU);
  }

  /** The CUDA backend, with the reason if it is not available. */
  public static Backend cuda() {
    return backend("cuda", sightline.SL_CUDA);
  }

  /**
   * Whether products of fp32 tensors on CUDA, libtorch's and ours, may use TF32: tensor cores that
   * round every operand to 11 significant bits, an error of at most 2⁻¹¹ for each. It is libtorch's
   * own setting ({@code torch.backends.cuda.matmul.allow_tf32} in Python), off at first, for the
   * whole process. On the CPU it means nothing.
   */
  public static void allowTf32(boolean allowed) {
    load();
    try (Context settings = torch.globalContext()) {
      settings.setAllowTF32CuBLAS(allowed);
    }
  }

  private static Backend backend(String name, int deviceType) {
    load();
    try (sl_capability capability = new sl_capability()) {
      NativeCalls.check(sightline.sl_capabilities(deviceType, capability));
      return new Backend(
          name,
          capability.available() != 0,
          capability.unavailability_cause().getString(),
          capability.implementation().getString(),
          capability.device_count(),
          capability.max_threads(),
          capability.native_bf16() != 0);
    }
  }
}
