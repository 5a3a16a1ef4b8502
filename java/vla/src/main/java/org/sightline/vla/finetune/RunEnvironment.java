package org.sightline.vla.finetune;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bytedeco.pytorch.global.torch;
import org.sightline.Backend;
import org.sightline.Sightline;

/** What a run runs on: versions, hardware; for people, so nothing here may fail. */
public final class RunEnvironment {
  /** Key among the hardware. */
  static final String THREADS = "threads";

  private RunEnvironment() {}

  /** By section: versions, hardware. */
  static Map<String, Map<String, String>> describe() {
    Map<String, Map<String, String>> sections = new LinkedHashMap<>();
    sections.put("versions", versions());
    sections.put("hardware", hardware());
    return sections;
  }

  private static Map<String, String> versions() {
    Map<String, String> versions = new LinkedHashMap<>();
    versions.put("sightline", Sightline.version());
    versions.put("commit", Sightline.commit());
    versions.put(
        "java", System.getProperty("java.version") + ", " + System.getProperty("java.vm.name"));
    versions.put("libtorch", libtorchVersion());
    versions.put("system", System.getProperty("os.name") + " " + System.getProperty("os.version"));
    return versions;
  }

  private static Map<String, String> hardware() {
    Map<String, String> hardware = new LinkedHashMap<>();
    hardware.put("cpu", cpuName());
    hardware.put("processors", String.valueOf(Runtime.getRuntime().availableProcessors()));
    hardware.put(THREADS, threads());
    if (ManagementFactory.getOperatingSystemMXBean() instanceof OperatingSystemMXBean system) {
      hardware.put("memory_bytes", String.valueOf(system.getTotalMemorySize()));
    }
    hardware.put("cpu_backend", backend(Sightline.cpu()));
    hardware.put("cuda_backend", backend(Sightline.cuda()));
    return hardware;
  }

  /** Of libtorch, whose products round differently with their number. */
  private static String threads() {
    String products = System.getenv("OPENBLAS_NUM_THREADS");
    return torch.get_num_threads() + (products == null ? "" : ", OpenBLAS " + products);
  }

  private static String backend(Backend backend) {
    return backend.isAvailable()
        ? backend.implementation()
        : "not available: " + backend.unavailabilityCause();
  }

  private static String cpuName() {
    try {
      return Files.readAllLines(Path.of("/proc/cpuinfo")).stream()
          .filter(line -> line.startsWith("model name"))
          .map(line -> line.substring(line.indexOf(':') + 1).strip())
          .findFirst()
          .orElse(System.getProperty("os.arch"));
    } catch (IOException e) {
      return System.getProperty("os.arch");
    }
  }

  /** libtorch states its version only among its build settings. */
  public static String libtorchVersion() {
    Matcher version =
        Pattern.compile("TORCH_VERSION=([^,\\s]+)").matcher(torch.show_config().getString());
    return version.find() ? version.group(1) : "unknown version";
  }
}
