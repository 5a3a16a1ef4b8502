package org.sightline.formats.file;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Set;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.formats.tfrecord.TfRecordWriter;

/** What is opened, by which name, and what is written through. */
class InputFileTest {
  @TempDir private Path folder;

  @Test
  void onlyFilesAreRead() throws IOException {
    Path file = Files.writeString(folder.resolve("file"), "text");
    Path link = Files.createSymbolicLink(folder.resolve("link"), file);
    assertEquals("text", InputFile.text(link)); // The hub's cache is made of links.
    assertTrue(refused(folder).contains("found a folder"));
    assertThrows(NoSuchFileException.class, () -> InputFile.bytes(folder.resolve("nothing")));
  }

  @Test
  @Timeout(60)
  void aPipeIsNotWaitedForAndADeviceHasNoEnd() throws Exception {
    Path pipe = folder.resolve("pipe");
    Assumptions.assumeTrue(new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor() == 0);
    assertTrue(refused(pipe).contains("found a pipe or device, expected a file"));
    assertTrue(refused(Path.of("/dev/zero")).startsWith("/dev/zero: document"));
    assertThrows(FormatException.class, () -> Safetensors.open(pipe));
    assertThrows(FormatException.class, () -> JsonFields.read(pipe));
  }

  @Test
  void aSparseFileBeyondAnyDocumentIsRefusedUnread() throws IOException {
    Path file = folder.resolve("sparse");
    try (var sparse = new RandomAccessFile(file.toFile(), "rw")) {
      sparse.setLength(InputFile.MAX_BYTES + 1L);
    }
    assertTrue(refused(file).contains("found 268435457 bytes, expected at most 268435456"));
    assertThrows(FormatException.class, () -> JsonFields.read(file));
  }

  private static String refused(Path file) {
    return assertThrows(FormatException.class, () -> InputFile.bytes(file)).getMessage();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        ".",
        "..",
        "/",
        "/etc/passwd",
        "../a",
        "a/b",
        "a/",
        "./a",
        "a//b",
        "a\\b",
        "..\\a",
        "a\0b",
        "a\nb",
        "\u001b[31m",
        "\u202egpj.a"
      })
  void namesThatLeadElsewhere(String name) {
    assertFalse(InputFile.isPlainName(name));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"a", "model-00001-of-00003.safetensors", "bridge_orig", "...", "a b", "-"})
  void namesOfFilesBesideOneAnother(String name) {
    assertTrue(InputFile.isPlainName(name));
  }

  @Test
  void aPlantedLinkIsReplacedAndNotWrittenThrough() throws IOException {
    Path victim = Files.writeString(folder.resolve("victim"), "mine");
    Path file = Files.createSymbolicLink(folder.resolve("result.json"), victim);
    String temporary =
        ".result.json.%d-%d.tmp"
            .formatted(ProcessHandle.current().pid(), Thread.currentThread().getId());
    Files.createSymbolicLink(folder.resolve(temporary), victim);
    AtomicFile.writeText(file, "ours");
    assertEquals("mine", Files.readString(victim));
    assertEquals("ours", Files.readString(file));
    assertFalse(Files.isSymbolicLink(file));
    try (var files = Files.list(folder)) {
      assertEquals(Set.of(victim, file), Set.copyOf(files.toList()));
    }
  }

  @Test
  void aFileThatIsAppendedToIsNoLink() throws IOException {
    Path victim = Files.writeString(folder.resolve("victim"), "mine");
    Path link = Files.createSymbolicLink(folder.resolve("events"), victim);
    assertThrows(FormatException.class, () -> new TfRecordWriter(link));
    assertEquals("mine", Files.readString(victim));
  }

  @Test
  void aFullDiskIsSaidWithTheFile() {
    var e =
        assertThrows(
            IOException.class,
            () ->
                AtomicFile.write(
                    folder.resolve("out"),
                    channel -> {
                      throw new IOException("No space left on device");
                    }));
    assertEquals(folder.resolve("out") + ": No space left on device", e.getMessage());
    assertFalse(Files.exists(folder.resolve("out")));
  }
}
