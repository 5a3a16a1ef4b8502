package org.sightline.formats;

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

  private static List<String> names(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.map(file -> file.getFileName().toString()).sorted().toList();
    }
  }
}
