package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.jar.Attributes;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import java.util.stream.Collectors;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The program as a shell starts it: a jar with its libraries in {@code lib} beside it. */
class LauncherTest {
  @TempDir Path folder;
  private Path jar;

  @BeforeEach
  void makeJar() throws IOException {
    makeJar(
        Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
            .map(path -> Path.of(path).toUri().toString())
            .collect(Collectors.joining(" ")));
  }

  private void makeJar(String classPath) throws IOException {
    Manifest manifest = new Manifest();
    manifest.getMainAttributes().put(Attributes.Name.MANIFEST_VERSION, "1.0");
    manifest.getMainAttributes().put(Attributes.Name.MAIN_CLASS, Launcher.class.getName());
    manifest.getMainAttributes().put(Attributes.Name.CLASS_PATH, classPath);
    jar = folder.resolve("the jar.jar");
    String launcher = Launcher.class.getName().replace('.', '/') + ".class";
    try (var out = new JarOutputStream(Files.newOutputStream(jar), manifest);
        var in = Launcher.class.getClassLoader().getResourceAsStream(launcher)) {
      out.putNextEntry(new JarEntry(launcher));
      in.transferTo(out);
    }
  }

  private record Ended(int code, String out, String err) {}

  /** Runs a shell's command line, in which {@code $program} is the program. */
  private Ended shell(String line, Map<String, String> environment) throws Exception {
    Path out = folder.resolve("out");
    Path err = folder.resolve("err");
    String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
    ProcessBuilder builder =
        new ProcessBuilder("sh", "-c", line.replace("$program", java + " -jar '" + jar + "'"))
            .redirectOutput(out.toFile())
            .redirectError(err.toFile());
    builder.environment().putAll(environment);
    int code = builder.start().waitFor();
    return new Ended(code, Files.readString(out), Files.readString(err));
  }

  @Test
  void messagesNameTheCommandThatWasTyped() throws Exception {
    Ended help = shell("$program --help", Map.of());
    assertEquals(0, help.code, help.err);
    assertTrue(help.out.startsWith("Usage: java -jar '" + jar + "' ["), help.out);
    Ended wrong = shell("$program plan --no-such-option", Map.of());
    assertEquals(2, wrong.code, wrong.err);
    assertTrue(wrong.err.contains("\"java -jar '" + jar + "' plan --help\""), wrong.err);
  }

  @Test
  void aMissingLibraryIsNamed() throws Exception {
    makeJar("lib/a.jar the%20jar.jar lib/b.jar");
    Ended ended = shell("$program --help", Map.of());
    assertEquals(2, ended.code, ended.err);
    assertEquals(
        "sightline: "
            + jar
            + " needs its libraries beside it, found no lib/a.jar and 1 more: copy the folder lib"
            + " too\n",
        ended.err);
  }

  @Test
  void aFullDiskIsNoSuccess() throws Exception {
    assumeTrue(Files.exists(Path.of("/dev/full")), "no /dev/full here");
    Ended ended = shell("$program --help >/dev/full", Map.of());
    assertEquals(2, ended.code, ended.err);
    assertTrue(ended.err.contains("standard output cannot be written to"), ended.err);
  }

  @Test
  void aClosedPipeEndsAsUnixToolsDo() throws Exception {
    // The reader has ended, and the writer knows, before a line is written.
    Path ended = folder.resolve("ended");
    String fifo = "mkfifo '" + ended + "'; { read line <'" + ended + "'; $program --help; ";
    Ended result =
        shell(
            fifo + "echo $? >'" + ended + "2'; } | { exec <&-; echo >'" + ended + "'; }", Map.of());
    assertEquals("141\n", Files.readString(folder.resolve("ended2")), result.err);
    assertEquals("", result.err);
  }

  @Test
  void aPathInSettingsThatTheLocaleCannotHoldIsRefused() throws Exception {
    Path settings = folder.resolve("run.yaml");
    Files.writeString(settings, "output: '" + folder + "/café'");
    Ended ended = shell("$program finetune --config '" + settings + "'", Map.of("LC_ALL", "C"));
    assertEquals(2, ended.code, ended.err);
    assertTrue(ended.err.startsWith("sightline: " + settings + ", line 1: "), ended.err);
    assertTrue(ended.err.contains("/café\": the locale C ("), ended.err);
  }

  @Test
  void anInstructionThatTheLocaleCannotHoldIsRefused() throws Exception {
    String cafe = "\"$(printf 'caf\\303\\251')\"";
    for (String line :
        List.of(
            "$program act --instruction " + cafe,
            "$program inspect " + cafe,
            "cd '"
                + folder
                + "' && mkdir -p "
                + cafe
                + " && cd "
                + cafe
                + " && $program inspect x")) {
      Ended ended = shell(line, Map.of("LC_ALL", "C"));
      assertEquals(2, ended.code, ended.err);
      assertTrue(ended.err.contains("the locale C ("), ended.err);
      assertTrue(
          ended.err.contains("cannot hold its characters: start with LC_ALL=C.UTF-8"), ended.err);
    }
    Ended held = shell("$program inspect " + cafe, Map.of("LC_ALL", "C.UTF-8"));
    assertFalse(held.err.contains("locale"), held.err);
    assertTrue(held.err.contains("café"), held.err);
  }
}
