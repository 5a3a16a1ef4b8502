package org.sightline.vla.cli;

import java.io.PrintWriter;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.global.torch;
import org.sightline.Backend;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.Sightline;
import org.sightline.vla.finetune.RunEnvironment;
import org.sightline.vla.model.Attention;
import org.sightline.vla.model.OpenVlaConfig;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code sightline doctor}: what this machine has, and what is missing and why. */
@Command(
    name = "doctor",
    description = "Check this machine: JDK, native libraries, instruction set, threads, GPU.",
    mixinStandardHelpOptions = true,
    usageHelpAutoWidth = true)
final class DoctorCommand implements Callable<Integer> {
  private static final int HEAD_WIDTH = OpenVlaConfig.openVla7b().text().headWidth();

  @Spec private CommandSpec spec;

  @Option(
      names = "--json",
      description =
          "Print a JSON object: jdk, jvm, platform, system, sightline, commit, cpu_backend,"
              + " cuda_backend, cuda_parts,"
              + " libtorch, attention, threads, java_heap_bytes, javacpp_bytes (0: no limit); error if"
              + " natives cannot be loaded.")
  private boolean json;

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    if (json) {
      Map<String, Object> facts = facts();
      out.println(Inspection.json(facts));
      out.flush();
      return facts.containsKey("error") || !Sightline.cpu().isAvailable() ? Errors.INTERNAL : 0;
    }
    line(
        out,
        "JDK",
        "%s (%s)",
        System.getProperty("java.version"),
        System.getProperty("java.vm.name"));
    line(
        out,
        "platform",
        "%s, %s %s",
        Loader.getPlatform(),
        System.getProperty("os.name"),
        System.getProperty("os.version"));
    try {
      line(out, "sightline", "%s, commit %s", Sightline.version(), Sightline.commit());
    } catch (UnsatisfiedLinkError e) {
      line(out, "sightline", "native library cannot be loaded: %s", e.getMessage());
      cudaParts(out);
      return Errors.INTERNAL;
    }
    Backend cpu = Sightline.cpu();
    line(
        out,
        "CPU backend",
        "%s",
        cpu.isAvailable()
            ? String.format(
                Locale.ROOT,
                "%s%s, %d OpenMP threads",
                cpu.implementation(),
                cpu.nativeBfloat16() ? " with bf16 products" : "",
                cpu.maxThreads())
            : "not available: " + cpu.unavailabilityCause());
    Backend cuda = Sightline.cuda();
    line(
        out,
        "CUDA backend",
        "%s",
        cuda.isAvailable()
            ? String.format(Locale.ROOT, "%d × %s", cuda.deviceCount(), cuda.implementation())
            : "not available: " + cuda.unavailabilityCause());
    cudaParts(out);
    line(
        out,
        "libtorch",
        "%s, %d threads, CUDA %s",
        RunEnvironment.libtorchVersion(),
        torch.get_num_threads(),
        torch.cuda_is_available() ? "yes" : "no");
    Device device = Device.of("auto");
    line(
        out,
        "attention",
        "%s, of OpenVLA's heads in bf16 on %s",
        Attention.kernel(device, DType.BFLOAT16, HEAD_WIDTH),
        device);
    line(
        out,
        "memory",
        "Java heap up to %s, JavaCPP up to %s",
        bytes(Runtime.getRuntime().maxMemory()),
        Pointer.maxPhysicalBytes() == 0 ? "no limit" : bytes(Pointer.maxPhysicalBytes()));
    out.flush();
    return cpu.isAvailable() ? 0 : Errors.INTERNAL;
  }

  private static Map<String, Object> facts() {
    Map<String, Object> facts = new LinkedHashMap<>();
    facts.put("jdk", System.getProperty("java.version"));
    facts.put("jvm", System.getProperty("java.vm.name"));
    facts.put("platform", Loader.getPlatform());
    facts.put("system", System.getProperty("os.name") + " " + System.getProperty("os.version"));
    facts.put("commit", Sightline.commit());
    facts.put("cuda_parts", CudaPart.ofMachine());
    try {
      facts.put("sightline", Sightline.version());
    } catch (UnsatisfiedLinkError e) {
      facts.put("error", e.getMessage());
      return facts;
    }
    facts.put("cpu_backend", Sightline.cpu());
    facts.put("cuda_backend", Sightline.cuda());
    facts.put("libtorch", RunEnvironment.libtorchVersion());
    facts.put("attention", Attention.kernel(Device.of("auto"), DType.BFLOAT16, HEAD_WIDTH));
    facts.put("threads", torch.get_num_threads());
    facts.put("java_heap_bytes", Runtime.getRuntime().maxMemory());
    facts.put("javacpp_bytes", Pointer.maxPhysicalBytes());
    return facts;
  }

  /** Also where nothing can be loaded: one of them may be why. */
  private static void cudaParts(PrintWriter out) {
    CudaPart.ofMachine().forEach(part -> line(out, "  " + part.name(), "%s", part.describe()));
    out.flush();
  }

  private static void line(PrintWriter out, String label, String format, Object... values) {
    out.printf(Locale.ROOT, "%-20s %s%n", label, String.format(Locale.ROOT, format, values));
  }

  private static String bytes(long count) {
    return String.format(Locale.ROOT, "%.1f GiB", count / (double) (1L << 30));
  }
}
