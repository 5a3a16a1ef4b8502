package org.sightline.packaging;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.sightline.Backend;
import org.sightline.Sightline;

/** Run by {@link PackagedNativesIT} in a JVM of its own: prints what it loaded, and from where. */
final class NativesProbe {
  private NativesProbe() {}

  public static void main(String[] args) throws IOException {
    System.out.println("version=" + Sightline.version());
    print(Sightline.cpu());
    print(Sightline.cuda());
    System.out.println("maxPhysicalBytes=" + org.bytedeco.javacpp.Pointer.maxPhysicalBytes());
    try (Stream<String> maps = Files.lines(Path.of("/proc/self/maps"))) {
      maps.filter(line -> line.contains("sightline") || line.contains("libgomp"))
          .map(line -> line.substring(line.indexOf('/')))
          .distinct()
          .forEach(path -> System.out.println("mapped=" + path));
    }
  }

  private static void print(Backend backend) {
    System.out.println(
        backend.name()
            + "="
            + backend.isAvailable()
            + ","
            + backend.implementation()
            + ","
            + backend.unavailabilityCause());
  }
}
