package org.sightline.packaging;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * The packaged jars, and nothing of the build tree, are enough: a fresh JVM loads the natives from
 * them while the folder they were built in is out of sight.
 */
class PackagedNativesIT {
  private static final Path MAIN_JAR = path("sightline.jar");
  private static final Path NATIVES_JAR = path("sightline.natives.jar");
  private static final Path BUILD_FOLDER = path("sightline.native.build");

  /** libtorch, 360 MB, stays in it from run to run; what is ours is taken out first. */
  private static final Path CACHE = path("sightline.javacpp.cache");

  private static Path path(String property) {
    return Path.of(System.getProperty(property)).toAbsolutePath();
  }

  @BeforeEach
  void emptyOurPartOfTheCache() throws IOException {
    if (!Files.isDirectory(CACHE)) {
      return;
    }
    try (Stream<Path> files = Files.walk(CACHE)) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        if (file.toString().contains("sightline-core")) {
          Files.delete(file);
        }
      }
    }
  }

  @Test
  void loadsFromTheJarsAlone() throws Exception {
    Path hidden = BUILD_FOLDER.resolveSibling(BUILD_FOLDER.getFileName() + ".hidden");
    Files.move(BUILD_FOLDER, hidden);
    List<String> output;
    try {
      output = probe(Map.of(), MAIN_JAR, NATIVES_JAR);
    } finally {
      Files.move(hidden, BUILD_FOLDER);
    }
    assertTrue(output.contains("version=0.1.0"), output::toString);
    assertTrue(output.stream().anyMatch(l -> l.startsWith("cpu=true,")), output::toString);
    assertTrue(output.contains("gradient=true"), output::toString);
    assertTrue(output.contains("maxPhysicalBytes=0"), output::toString);
    assertTrue(output.contains("OMP_WAIT_POLICY=PASSIVE"), output::toString);
    assertTrue(output.contains("OPENBLAS_THREAD_TIMEOUT=16"), output::toString);
    List<String> mapped =
        output.stream()
            .filter(line -> line.startsWith("mapped="))
            .map(line -> line.substring("mapped=".length()))
            .toList();
    List<String> expected =
        new ArrayList<>(List.of("libsightline.so", "libjnisightline.so", "libgomp.so"));
    if (libraries(NATIVES_JAR).contains("libsightline_cuda.so")) {
      expected.add("libsightline_cuda.so");
    }
    for (String library : expected) {
      List<String> copies = mapped.stream().filter(p -> p.contains("/" + library)).toList();
      // One copy of libgomp: libtorch and libsightline share their threads.
      assertEquals(1, copies.size(), () -> library + " in " + mapped);
      assertTrue(copies.get(0).startsWith(CACHE.toString()), copies::toString);
    }
  }

  @Test
  void threadSettingsOfTheUserStay() throws Exception {
    Map<String, String> user = Map.of("OMP_WAIT_POLICY", "ACTIVE", "OPENBLAS_THREAD_TIMEOUT", "20");
    List<String> output = probe(user, MAIN_JAR, NATIVES_JAR);
    user.forEach(
        (name, value) -> assertTrue(output.contains(name + "=" + value), output::toString));
  }

  @Test
  void aMissingNativesJarIsExplained() throws Exception {
    String output = String.join("\n", probe(Map.of(), MAIN_JAR));
    assertTrue(output.contains("Sightline cannot load its native libraries"), output);
    assertTrue(output.contains("because: java.lang.UnsatisfiedLinkError"), output);
    assertTrue(output.contains("classifier"), output);
  }

  @Test
  void nativesAreInTheClassifierJarOnly() throws IOException {
    assertEquals(List.of(), libraries(MAIN_JAR));
    assertTrue(libraries(NATIVES_JAR).contains("libsightline.so.0.1"));
    assertTrue(libraries(NATIVES_JAR).contains("libjnisightline.so"));
  }

  @Test
  void noPathOfTheBuildLeaks() throws IOException {
    String build = BUILD_FOLDER.toString();
    try (ZipFile zip = new ZipFile(NATIVES_JAR.toFile())) {
      for (ZipEntry entry : zip.stream().filter(e -> !e.isDirectory()).toList()) {
        String bytes =
            new String(zip.getInputStream(entry).readAllBytes(), StandardCharsets.ISO_8859_1);
        assertFalse(bytes.contains(build), entry.getName());
      }
    }
  }

  private static List<String> libraries(Path jar) throws IOException {
    try (ZipFile zip = new ZipFile(jar.toFile())) {
      return zip.stream()
          .map(entry -> Path.of(entry.getName()).getFileName().toString())
          .filter(name -> name.contains(".so") || name.endsWith(".dylib") || name.endsWith(".dll"))
          .toList();
    }
  }

  /** Output lines of the probe, on a class path of {@code jars} and the third-party jars. */
  private List<String> probe(Map<String, String> threadSettings, Path... jars) throws Exception {
    Path testClasses =
        Path.of(NativesProbe.class.getProtectionDomain().getCodeSource().getLocation().toURI());
    Stream<String> thirdParty =
        Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
            .filter(entry -> entry.endsWith(".jar"))
            .filter(entry -> !Path.of(entry).getFileName().toString().startsWith("sightline"));
    String classPath =
        Stream.of(
                Arrays.stream(jars).map(Path::toString),
                Stream.of(testClasses.toString()),
                thirdParty)
            .flatMap(entries -> entries)
            .collect(Collectors.joining(File.pathSeparator));
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.add("-Dorg.bytedeco.javacpp.cachedir=" + CACHE);
    command.add("-Dorg.bytedeco.javacpp.platform.linkpath=/nonexistent");
    command.add("-cp");
    command.add(classPath);
    command.add(NativesProbe.class.getName());
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    for (String name : List.of("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OPENBLAS_THREAD_TIMEOUT")) {
      builder.environment().remove(name);
    }
    builder.environment().putAll(threadSettings);
    Process process = builder.start();
    try (var reader = process.inputReader()) {
      List<String> lines = reader.lines().toList();
      process.waitFor();
      return lines;
    }
  }
}
