package org.sightline.packaging;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The packaged jars, and nothing of the build tree, are enough: a fresh JVM loads the natives from
 * them while the folder they were built in is out of sight.
 */
class PackagedNativesIT {
  private static final Path MAIN_JAR = path("sightline.jar");
  private static final Path NATIVES_JAR = path("sightline.natives.jar");
  private static final Path BUILD_FOLDER = path("sightline.native.build");

  /** Stays from run to run: a folder in it has the name of its content. */
  private static final Path CACHE = path("sightline.javacpp.cache");

  private static Path path(String property) {
    return Path.of(System.getProperty(property)).toAbsolutePath();
  }

  @Test
  void loadsFromTheJarsAlone() throws Exception {
    Path hidden = BUILD_FOLDER.resolveSibling(BUILD_FOLDER.getFileName() + ".hidden");
    Files.move(BUILD_FOLDER, hidden);
    List<String> output;
    try {
      output = probe(CACHE, Map.of(), MAIN_JAR, NATIVES_JAR);
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
    List<String> output = probe(CACHE, user, MAIN_JAR, NATIVES_JAR);
    user.forEach(
        (name, value) -> assertTrue(output.contains(name + "=" + value), output::toString));
  }

  @Test
  void aMissingNativesJarIsExplained() throws Exception {
    String output = String.join("\n", probe(CACHE, Map.of(), MAIN_JAR));
    assertTrue(output.contains("Sightline cannot load its native libraries"), output);
    assertTrue(output.contains("because: java.lang.UnsatisfiedLinkError"), output);
    assertTrue(output.contains("classifier"), output);
  }

  /** Half of its libraries beside half of the CPU's would abort the process. */
  @Test
  void aCudaBuildThatCannotBeLoadedIsExplained(@TempDir Path folder) throws Exception {
    Path gpu = folder.resolve("pytorch-linux-x86_64-gpu.jar");
    try (ZipOutputStream out = new ZipOutputStream(Files.newOutputStream(gpu))) {
      out.putNextEntry(new ZipEntry("org/bytedeco/"));
      out.putNextEntry(new ZipEntry("org/bytedeco/pytorch/linux-x86_64-gpu/libtorch_cuda.so"));
      out.write("no library".getBytes(StandardCharsets.UTF_8));
    }
    String output =
        String.join("\n", probe(folder.resolve("cache"), Map.of(), gpu, MAIN_JAR, NATIVES_JAR));
    assertTrue(
        output.contains(
            "libtorch's CUDA build (org.sightline:sightline-gpu) is on the class path, but"),
        output);
    assertTrue(output.contains("libtorch_cuda.so: "), output);
    assertFalse(output.contains("version="), output);
  }

  @Test
  void fourProcessesMayStartOnAnEmptyCache(@TempDir Path cache) throws Exception {
    List<Process> processes = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      processes.add(start(cache, Map.of(), MAIN_JAR, NATIVES_JAR));
    }
    for (Process process : processes) {
      List<String> output = output(process);
      assertTrue(output.contains("gradient=true"), output::toString);
    }
    assertEquals(1, folders(cache).size());
  }

  @Test
  void whatAKilledProcessLeftAndOldContentsAreRemoved(@TempDir Path cache) throws Exception {
    Path home = home(cache);
    Path torch =
        Files.createDirectories(home.resolve("half123/pytorch.jar")).resolve("libtorch.so");
    Files.writeString(torch, "a part");
    // Killed while it was removed: its mark goes first. And a probe for the folder's owner.
    Files.createFile(Files.createDirectory(home.resolve("0123456789abcdef")).resolve("lib.so"));
    Files.setLastModifiedTime(Files.createFile(home.resolve("owner1.tmp")), FileTime.fromMillis(0));
    Files.createFile(Files.createDirectory(home.resolve("unused")).resolve(".in-use"));
    Path used = Files.createFile(Files.createDirectory(home.resolve("used")).resolve(".in-use"));
    try (FileChannel channel = FileChannel.open(used, StandardOpenOption.READ)) {
      channel.lock(0, Long.MAX_VALUE, true);
      List<String> output = probe(cache, Map.of(), MAIN_JAR, NATIVES_JAR);
      assertTrue(output.contains("gradient=true"), output::toString);
    }
    List<Path> left = folders(cache);
    assertEquals(2, left.size(), left::toString);
    assertTrue(left.contains(used.getParent()), left::toString);
    assertFalse(Files.exists(home.resolve("owner1.tmp")));
  }

  @Test
  void aChangedLibraryOfEqualSizeAndTimeIsLoaded(@TempDir Path folder) throws Exception {
    Path jar = folder.resolve(NATIVES_JAR.getFileName());
    try (ZipFile zip = new ZipFile(NATIVES_JAR.toFile());
        ZipOutputStream changed = new ZipOutputStream(Files.newOutputStream(jar))) {
      for (ZipEntry entry : zip.stream().toList()) {
        ZipEntry copy = new ZipEntry(entry.getName());
        copy.setTime(entry.getTime());
        changed.putNextEntry(copy);
        byte[] bytes = zip.getInputStream(entry).readAllBytes();
        if (entry.getName().endsWith("libsightline.so.0.1")) {
          bytes[bytes.length - 1]++; // In the section headers, which nothing loads.
        }
        changed.write(bytes);
      }
    }
    Path cache = folder.resolve("cache");
    String[] mapped = new String[2];
    for (int i = 0; i < 2; i++) {
      List<String> output = probe(cache, Map.of(), MAIN_JAR, i == 0 ? NATIVES_JAR : jar);
      mapped[i] =
          output.stream().filter(line -> line.contains("libsightline.so")).findFirst().orElse("");
      assertTrue(mapped[i].startsWith("mapped=" + cache), output::toString);
    }
    assertNotEquals(mapped[0], mapped[1]);
  }

  @Test
  void aFolderThatOthersMayWriteToIsRefused(@TempDir Path cache) throws Exception {
    Path home = home(cache);
    Files.setPosixFilePermissions(home, PosixFilePermissions.fromString("rwxrwxrwx"));
    assertRefused(cache, "is open to others (rwxrwxrwx), expected rwx------");
    Files.delete(home);
    Files.createSymbolicLink(home, Files.createDirectory(cache.resolve("elsewhere")));
    assertRefused(cache, "a link or file, expected a folder");
  }

  /** With no other place to go to. */
  private static void assertRefused(Path cache, String message) throws Exception {
    List<String> output =
        output(
            start(
                cache,
                Map.of("JAVA_TOOL_OPTIONS", "-Duser.home=/dev/null -Djava.io.tmpdir=/dev/null"),
                MAIN_JAR,
                NATIVES_JAR));
    assertTrue(output.stream().anyMatch(line -> line.contains(message)), output::toString);
    assertFalse(output.stream().anyMatch(line -> line.startsWith("cpu=")), output::toString);
  }

  private static Path home(Path cache) throws IOException {
    return Files.createDirectories(
        cache.resolve("sightline-" + System.getProperty("user.name")),
        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
  }

  /** What lies unpacked. */
  private static List<Path> folders(Path cache) throws IOException {
    try (Stream<Path> files = Files.list(home(cache))) {
      return files.filter(Files::isDirectory).toList();
    }
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

  private static List<String> probe(Path cache, Map<String, String> environment, Path... jars)
      throws Exception {
    return output(start(cache, environment, jars));
  }

  /** The probe, on a class path of {@code jars} and the third-party jars. */
  private static Process start(Path cache, Map<String, String> environment, Path... jars)
      throws Exception {
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
    command.add("-Dorg.bytedeco.javacpp.cachedir=" + cache);
    command.add("-Dorg.bytedeco.javacpp.platform.linkpath=/nonexistent");
    command.add("-cp");
    command.add(classPath);
    command.add(NativesProbe.class.getName());
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    for (String name : List.of("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OPENBLAS_THREAD_TIMEOUT")) {
      builder.environment().remove(name);
    }
    builder.environment().putAll(environment);
    return builder.start();
  }

  private static List<String> output(Process process) throws Exception {
    try (var reader = process.inputReader()) {
      List<String> lines = reader.lines().toList();
      process.waitFor();
      return lines;
    }
  }
}
