package org.sightline.vla.teacher.cache;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.sightline.vla.data.image.ImageKey;

/** A process of its own that uses a store: {@code DIR hold} or {@code DIR fill FIRST COUNT}. */
final class StoreProcess {
  static final FeatureKind KIND = new FeatureKind("teacher", "pixels", 16, 64);

  private StoreProcess() {}

  /** The features of the i-th picture, the same in every process. */
  static ByteBuffer features(FeatureKind kind, long i) {
    byte[] bytes = new byte[kind.entryBytes()];
    new Random(i).nextBytes(bytes);
    return ByteBuffer.wrap(bytes);
  }

  static ImageKey key(long i) {
    return new ImageKey(i * 0x9e3779b97f4a7c15L, ~i);
  }

  static Process start(String shell, Path directory, String... arguments) throws IOException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of("-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"));
    command.add(System.getProperty("java.class.path"));
    command.add(StoreProcess.class.getName());
    command.add(directory.toString());
    command.addAll(List.of(arguments));
    if (!shell.isEmpty()) {
      String quoted = String.join("' '", command);
      command = List.of("sh", "-c", shell + " exec '" + quoted + "'");
    }
    return new ProcessBuilder(command)
        .redirectError(ProcessBuilder.Redirect.INHERIT)
        .directory(new File("."))
        .start();
  }

  public static void main(String[] args) throws IOException {
    try (FeatureStore store = FeatureStore.open(Path.of(args[0]), KIND)) {
      System.out.println("open");
      if (args[1].equals("hold")) {
        System.in.read();
        return;
      }
      long first = Long.parseLong(args[2]);
      for (long i = first; i < first + Long.parseLong(args[3]); i++) {
        store.put(key(i), features(KIND, i));
        if (i % 64 == 63) {
          store.force();
        }
        System.out.println(i);
      }
      System.out.println(store.size() + " stored, " + store.writeFailure());
    }
  }
}
