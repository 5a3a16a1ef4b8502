package org.sightline;

import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;

/**
 * A reader of a file, given spoiled ones: each must end in a value, or in an exception for users
 * that names the file, soon and with memory in proportion to the input.
 *
 * <p>Cases are seeded by their number. Inputs that once were taken wrongly lie in {@code
 * src/test/fuzz/NAME}; they are tried first, and spoiled as the valid one is. The profile {@code
 * fuzz} has Jazzer search from there ({@link FuzzTargets}).
 */
public final class Fuzz {
  /** Reads what lies in a file. */
  public interface Reader {
    void read(Path file) throws Exception;
  }

  private static final int CASES = Integer.getInteger("sightline.fuzz.cases", 10_000);
  private static final Duration ALL = Duration.ofSeconds(120 + CASES / 100);
  private static final long CASE_NANOS = 2_000_000_000L;

  /** Beside the input's own multiple: what readers take for an empty file, and loading classes. */
  private static final long BASE_BYTES = 16 << 20;

  private static final long BYTES_PER_BYTE = 1000;
  private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

  private final String name;
  private final Path file;
  private final byte[] valid;
  private final UnaryOperator<byte[]> wrap;
  private final Reader reader;

  /** The number of the case that runs, for the message if it does not end. */
  private volatile String current = "the valid input";

  private Fuzz(String name, Path file, byte[] valid, UnaryOperator<byte[]> wrap, Reader reader) {
    this.name = name;
    this.file = file;
    this.valid = valid;
    this.wrap = wrap;
    this.reader = reader;
  }

  /** A test of a reader with a valid file, which stays valid afterwards. */
  public static Fuzz of(String name, Path file, Reader reader) throws IOException {
    return of(name, file, Files.readAllBytes(file), UnaryOperator.identity(), reader);
  }

  /**
   * A test of a reader with a part of a valid file.
   *
   * @param part what is spoiled
   * @param wrap makes the file's bytes, with lengths and checksums that fit the part
   */
  public static Fuzz of(
      String name, Path file, byte[] part, UnaryOperator<byte[]> wrap, Reader reader) {
    return new Fuzz(name, file, part, wrap, reader);
  }

  /**
   * As {@link #of}, of a safetensors file whose header is spoiled, but not that header's length.
   */
  public static Fuzz ofHeader(String name, Path file, Reader reader) throws IOException {
    byte[] all = Files.readAllBytes(file);
    int data = 8 + (int) ByteBuffer.wrap(all).order(ByteOrder.LITTLE_ENDIAN).getLong();
    UnaryOperator<byte[]> wrap =
        header ->
            ByteBuffer.allocate(8 + header.length + all.length - data)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(header.length)
                .put(header)
                .put(all, data, all.length - data)
                .array();
    return of(name, file, Arrays.copyOfRange(all, 8, data), wrap, reader);
  }

  String name() {
    return name;
  }

  /** The seeded cases. */
  void run() {
    assertTimeoutPreemptively(ALL, this::spoil, () -> name + ", " + current);
  }

  private void spoil() throws Exception {
    write(wrap.apply(valid));
    reader.read(file);
    List<byte[]> inputs = corpus();
    Map<String, String> failures = new LinkedHashMap<>();
    for (byte[] input : inputs) {
      note(input, failures);
    }
    for (int i = 0; i < CASES && failures.size() < 10; i++) {
      Random random = new Random(1L << 32 ^ i * 0x9E3779B97F4A7C15L);
      current = "case " + i;
      // The valid one is half of all.
      int from = Math.min(inputs.size() - 1, random.nextInt(2 * inputs.size()));
      note(Mutator.mutated(inputs.get(from), random), failures);
    }
    write(wrap.apply(valid));
    assertTrue(failures.isEmpty(), () -> name + ":\n" + String.join("\n", failures.values()));
  }

  /** What every search starts from, the valid input last. */
  List<byte[]> corpus() throws IOException {
    Path folder = Path.of("src/test/fuzz", name);
    List<byte[]> inputs = new ArrayList<>();
    if (Files.exists(folder)) {
      try (Stream<Path> files = Files.list(folder)) {
        for (Path each : files.sorted().toList()) {
          current = each.toString();
          String text = each.toString().endsWith(".hex") ? Files.readString(each).strip() : null;
          inputs.add(text == null ? Files.readAllBytes(each) : HexFormat.of().parseHex(text));
        }
      }
    }
    inputs.add(valid);
    return inputs;
  }

  /** Adds how a reader took an input, if wrongly and as none before. */
  void note(byte[] input, Map<String, String> failures) throws IOException {
    String defect = defect(input);
    if (defect != null && !failures.containsKey(kind(defect))) {
      byte[] small = smallest(input, kind(defect));
      Path left = Path.of("target", "fuzz-" + name + "-" + failures.size());
      Files.write(left, small);
      failures.put(kind(defect), current + ", input in " + left + ": " + defect(small));
    }
  }

  /** Failures are told apart by what was thrown where, whatever the message says. */
  private static String kind(String defect) {
    String[] lines = defect.split("\n");
    return lines[0].replaceAll(":.*|\\d+", "") + (lines.length > 1 ? lines[1] : "");
  }

  /** What is left of an input when all is taken out that the failure does not need. */
  private byte[] smallest(byte[] input, String kind) throws IOException {
    byte[] small = input;
    for (int length = input.length / 2; length > 0; length /= 2) {
      for (int at = 0; at + length <= small.length; ) {
        byte[] less = new byte[small.length - length];
        System.arraycopy(small, 0, less, 0, at);
        System.arraycopy(small, at + length, less, at, less.length - at);
        String defect = defect(less);
        if (defect != null && kind(defect).equals(kind)) {
          small = less;
        } else {
          at += length;
        }
      }
    }
    return small;
  }

  /** How a reader took an input, if it was not as it should. */
  private String defect(byte[] input) throws IOException {
    byte[] bytes = wrap.apply(input);
    write(bytes);
    String cost = null;
    for (int i = 0; i < 2; i++) { // What the first use of a class costs is not the input's.
      long cpu = THREADS.getCurrentThreadCpuTime();
      long allocated = THREADS.getCurrentThreadAllocatedBytes();
      try {
        reader.read(file);
      } catch (Throwable e) {
        if (!isForUsers(e)) {
          return described(e);
        }
      }
      allocated = THREADS.getCurrentThreadAllocatedBytes() - allocated;
      cpu = THREADS.getCurrentThreadCpuTime() - cpu;
      if (allocated > BASE_BYTES + BYTES_PER_BYTE * bytes.length) {
        cost = "allocated " + allocated + " bytes for a file of " + bytes.length;
      } else if (cpu > CASE_NANOS) {
        cost = "took " + cpu + " ns";
      } else {
        return null;
      }
    }
    return cost;
  }

  /** Not by emptying the file first, after which ext4 waits for the disk. */
  private void write(byte[] bytes) throws IOException {
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
      channel.write(ByteBuffer.wrap(bytes));
      channel.truncate(bytes.length);
    }
  }

  private boolean isForUsers(Throwable e) {
    boolean kind = e.getClass() == IllegalArgumentException.class || e instanceof IOException;
    return kind && String.valueOf(e.getMessage()).contains(file.getParent().toString());
  }

  private static String described(Throwable e) {
    String trace =
        Arrays.stream(e.getStackTrace())
            .filter(frame -> frame.getClassName().startsWith("org.sightline"))
            .limit(4)
            .map(frame -> "\n    at " + frame)
            .reduce("", String::concat);
    String message = e.toString().lines().findFirst().orElse("");
    return message.substring(0, Math.min(300, message.length())) + trace;
  }
}
