package org.sightline.formats.file;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AtomicFolderTest {
  @TempDir Path parent;

  @Test
  void appearsWhole() throws IOException {
    Path target = parent.resolve("new/model");
    AtomicFolder.write(
        target,
        draft -> {
          assertEquals(false, Files.exists(target));
          Files.writeString(draft.resolve("one"), "1");
          Files.writeString(Files.createDirectory(draft.resolve("sub")).resolve("two"), "2");
        });
    assertEquals("1", Files.readString(target.resolve("one")));
    assertEquals("2", Files.readString(target.resolve("sub/two")));
    assertEquals(List.of("model"), names(parent.resolve("new")));
  }

  @Test
  void anEmptyFolderIsTaken() throws IOException {
    Path target = Files.createDirectory(parent.resolve("model"));
    AtomicFolder.write(target, draft -> Files.writeString(draft.resolve("one"), "1"));
    assertEquals("1", Files.readString(target.resolve("one")));
  }

  @Test
  void aFailureLeavesNothing() throws IOException {
    var e =
        assertThrows(
            IOException.class,
            () ->
                AtomicFolder.write(
                    parent.resolve("model"),
                    draft -> {
                      Files.writeString(draft.resolve("one"), "1");
                      throw new IOException("no space");
                    }));
    assertEquals("no space", e.getMessage());
    assertEquals(List.of(), names(parent));
  }

  @Test
  void nothingIsOverwritten() throws IOException {
    Path target = Files.createDirectory(parent.resolve("model"));
    Files.writeString(target.resolve("mine"), "1");
    for (Path taken : List.of(target, target.resolve("mine"))) {
      assertThrows(
          FileAlreadyExistsException.class,
          () ->
              AtomicFolder.write(
                  taken,
                  draft -> {
                    throw new AssertionError("was asked to write");
                  }));
    }
    // Filled while the new one was being made.
    Path late = parent.resolve("late");
    assertThrows(
        FileAlreadyExistsException.class,
        () ->
            AtomicFolder.write(
                late, draft -> Files.writeString(Files.createDirectory(late).resolve("x"), "")));
    assertEquals(List.of("x"), names(late));
    assertEquals(List.of("mine"), names(target));
    assertEquals(List.of("late", "model"), names(parent));
  }

  @Test
  void whatKilledProcessesLeftIsTakenAwayAndNothingElse() throws IOException {
    Path abandoned = Files.createDirectory(parent.resolve(".model.123.tmp"));
    Files.writeString(abandoned.resolve(".lock"), "");
    Files.writeString(abandoned.resolve("model-00001-of-00002.safetensors"), "half");
    Path busy = Files.createDirectory(parent.resolve(".model.124.tmp"));
    Files.createDirectory(parent.resolve(".model.125.tmp")); // without a lock: not ours to judge
    Files.writeString(
        Files.createDirectory(parent.resolve(".model.v2.126.tmp")).resolve(".lock"), "");
    try (FileChannel writer =
            FileChannel.open(
                busy.resolve(".lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        FileLock held = writer.lock()) {
      AtomicFolder.write(
          parent.resolve("model"), draft -> Files.writeString(draft.resolve("one"), "1"));
    }
    assertEquals(
        List.of(".model.124.tmp", ".model.125.tmp", ".model.v2.126.tmp", "model"), names(parent));
    assertEquals(List.of("one"), names(parent.resolve("model")));
  }

  /** Each process has a draft of its own: these are of one that was killed, and of this one. */
  @Test
  void draftsOfOtherNamesGoOnceTheirWriterIsDead() throws IOException {
    AtomicFolder.write(
        parent.resolve("first"),
        outer -> {
          Path killed = Files.createDirectory(parent.resolve(".second.126.tmp"));
          Files.writeString(killed.resolve(".lock"), "Sightline is writing this folder\n");
          AtomicFolder.write(parent.resolve("third"), inner -> {});
          assertEquals(List.of(outer.getFileName().toString(), "third"), names(parent));
        });
    assertEquals(List.of("first", "third"), names(parent));
  }

  @Test
  void aFileTakesAwayWhatIsLeftOfItself() throws IOException {
    Path file = parent.resolve("a.json");
    AtomicFile.write(
        file,
        channel -> {
          for (String name : List.of(".a.json.7-1.tmp", ".b.json.7-1.tmp", ".a.json.tmp")) {
            Files.writeString(parent.resolve(name), "half");
          }
          List<String> before = names(parent);
          AtomicFile.sweep(file); // This one is being written.
          assertEquals(before.size() - 1, names(parent).size());
        });
    assertEquals(List.of(".a.json.tmp", ".b.json.7-1.tmp", "a.json"), names(parent));
    Files.writeString(parent.resolve(".a.json.8-1.tmp"), "half");
    AtomicFile.writeText(file, "{}");
    assertEquals(List.of(".a.json.tmp", ".b.json.7-1.tmp", "a.json"), names(parent));
    assertEquals("{}", Files.readString(file));
  }

  private static List<String> names(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.map(file -> file.getFileName().toString()).sorted().toList();
    }
  }
}
