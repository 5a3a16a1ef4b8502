package org.sightline;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.pytorch.global.torch;
import org.sightline.binding.Environment;
import org.sightline.binding.NativeCache;
import org.sightline.binding.SightlineConfig;
import org.sightline.binding.sightline;

/** Loads the native libraries in the one order that works, and remembers how it went. */
final class NativeLibraries {
  private static final System.Logger LOGGER = System.getLogger("org.sightline");
  private static final String WAIT_POLICY = "OMP_WAIT_POLICY";
  private static final String SPIN_COUNT = "GOMP_SPINCOUNT";
  private static final String BLAS_TIMEOUT = "OPENBLAS_THREAD_TIMEOUT";
  private static final String PHYSICAL_LIMIT = "org.bytedeco.javacpp.maxPhysicalBytes";

  private static boolean loaded;
  private static Throwable failure;

  private NativeLibraries() {}

  static synchronized void load() {
    if (loaded) {
      return;
    }
    if (failure == null) {
      try {
        liftMemoryLimit();
        NativeCache.install();
        // Before libtorch, which brings libgomp and OpenBLAS; they read these while they are
        // loaded.
        quietOpenMp();
        quietOpenBlas();
        guardExit();
        requireWholeCudaBuild();
        // libsightline links libgomp too: libtorch goes first, so that both share its copy.
        Loader.load(torch.class);
        extractCudaLibrary();
        Loader.load(sightline.class);
        checkVersion();
        Environment.guardExit(); // For Runtime.halt, which runs no hook, but C's exit handlers.
        loaded = true;
        return;
      } catch (LinkageError | IOException | RuntimeException e) {
        failure = e;
      }
    }
    UnsatisfiedLinkError error = new UnsatisfiedLinkError(describe(failure));
    error.initCause(failure);
    throw error;
  }

  private static void liftMemoryLimit() {
    // Read once, by the static initialiser of JavaCPP's Pointer.
    if (System.getProperty(PHYSICAL_LIMIT) == null
        && System.getProperty(PHYSICAL_LIMIT.toLowerCase(java.util.Locale.ROOT)) == null) {
      System.setProperty(PHYSICAL_LIMIT, "0");
    }
  }

  private static void quietOpenMp() {
    if (System.getenv(WAIT_POLICY) != null || System.getenv(SPIN_COUNT) != null) {
      return;
    }
    if (isMapped("libgomp")) {
      LOGGER.log(
          System.Logger.Level.WARNING,
          "libtorch was loaded before Sightline: small matrix products may be 15 times slower. Call"
              + " Sightline.load() first, or set {0}=PASSIVE in the environment.",
          WAIT_POLICY);
    }
    Environment.setenv(WAIT_POLICY, "PASSIVE", 0);
  }

  /**
   * OpenBLAS's threads poll for 2^26 cycles after a product before they sleep. The kernel then
   * counts their core as busy and leaves OpenMP's threads on the caller's: whatever follows a
   * product runs on one core. 2^16 cycles, some 30 µs, bridge the gaps between products and no
   * more.
   */
  private static void quietOpenBlas() {
    Environment.setenv(BLAS_TIMEOUT, "16", 0);
  }

  /**
   * Registered while the JVM ends, the guard comes before the exit handlers of all libraries. They
   * run as ever if no thread is at work.
   */
  private static void guardExit() {
    try {
      Runtime.getRuntime().addShutdownHook(new Thread(Environment::guardExit, "guard exit"));
    } catch (IllegalStateException e) {
      Environment.guardExit(); // The JVM is ending.
    }
  }

  /**
   * JavaCPP takes each of libtorch's libraries from the CUDA build if there is one, and the CPU's
   * where that fails; a process with some of both aborts. So the whole is tried before any.
   */
  private static void requireWholeCudaBuild() throws IOException {
    String resource =
        "/org/bytedeco/pytorch/%s-gpu/%s"
            .formatted(Loader.getPlatform(), System.mapLibraryName("torch_cuda"));
    if (torch.class.getResource(resource) == null || isMapped("libtorch_cpu")) {
      return;
    }
    String failure =
        Environment.openLibrary(Loader.cacheResource(torch.class, resource).toString());
    if (failure != null) {
      throw new UnsatisfiedLinkError(
          "libtorch's CUDA build (org.sightline:sightline-gpu) is on the class path, but "
              + failure
              + "; \"doctor\" lists what it needs and who brings it. Without that jar libtorch computes on"
              + " the CPU.");
    }
  }

  private static boolean isMapped(String library) {
    Path maps = Path.of("/proc/self/maps");
    if (!Files.isReadable(maps)) {
      return false;
    }
    try (Stream<String> lines = Files.lines(maps)) {
      return lines.anyMatch(line -> line.contains(library));
    } catch (IOException | java.io.UncheckedIOException e) {
      return false;
    }
  }

  /** libsightline opens its CUDA part from its own folder: puts it there, if this jar has one. */
  private static void extractCudaLibrary() {
    String resource = Loader.getPlatform() + "/" + System.mapLibraryName("sightline_cuda");
    try {
      if (SightlineConfig.class.getResource(resource) != null) {
        Loader.cacheResource(SightlineConfig.class, resource);
      }
    } catch (IOException e) {
      LOGGER.log(System.Logger.Level.WARNING, "the CUDA library could not be extracted", e);
    }
  }

  private static void checkVersion() {
    String expected =
        "%s.%s.%s"
            .formatted(
                sightline.SL_VERSION_MAJOR, sightline.SL_VERSION_MINOR, sightline.SL_VERSION_PATCH);
    String found = sightline.sl_version().getString();
    if (!found.equals(expected)) {
      throw new UnsatisfiedLinkError(
          "libsightline is version " + found + ", these classes need " + expected);
    }
  }

  private static String describe(Throwable failure) {
    StringBuilder message = new StringBuilder("Sightline cannot load its native libraries");
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      message.append("\n  because: ").append(cause);
    }
    if (failure instanceof LinkageError) {
      message
          .append("\nThe class path needs sightline-core, javacpp, openblas and pytorch with the")
          .append(" classifier ")
          .append(Loader.getPlatform())
          .append(", and libtorch's CUDA build CUDA 13's libraries, which \"doctor\" lists.")
          .append(" -Dorg.bytedeco.javacpp.logger.debug=true shows every step.");
    }
    return message.toString();
  }
}
