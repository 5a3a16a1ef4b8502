package org.sightline.formats.file;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FolderLockTest {
  @TempDir Path folder;
  private Path file;

  @BeforeEach
  void name() {
    file = folder.resolve(".lock");
  }

  private void assertRefused(String user) {
    assertEquals(
        folder + " is in use by " + user + ", expected one writer at a time",
        assertThrows(IOException.class, () -> FolderLock.of(file)).getMessage());
  }

  @Test
  void isHeldUntilClosed() throws IOException {
    try (FolderLock lock = FolderLock.of(file)) {
      assertRefused("this process");
      lock.requireHeld();
    }
    FolderLock.of(file).close();
  }

  /** A program of its own: says whether it got the lock, and keeps it until it is killed. */
  public static void main(String[] args) throws Exception {
    try {
      FolderLock.of(Path.of(args[0]));
      System.out.println("held");
      System.in.read();
    } catch (IOException e) {
      System.out.println(e.getMessage());
    }
  }

  private static Process other(Path file) throws IOException {
    return new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-XX:TieredStopAtLevel=1",
            "-cp",
            System.getProperty("java.class.path"),
            FolderLockTest.class.getName(),
            file.toString())
        .start();
  }

  /** Asking again within the process must not give the lock up for it, as closing a file does. */
  @Test
  void anotherProcessIsKeptOutAlsoAfterASecondTryInThisOne() throws Exception {
    try (FolderLock lock = FolderLock.of(file)) {
      assertRefused("this process");
      Process late = other(file);
      try (BufferedReader out = late.inputReader()) {
        assertTrue(
            out.readLine()
                .endsWith(" is in use by another process, expected one writer at a time"));
      }
    }
    Process first = other(file);
    try (BufferedReader out = first.inputReader()) {
      assertEquals("held", out.readLine());
      assertRefused("another process");
    } finally {
      first.destroyForcibly().waitFor();
    }
    FolderLock.of(file).close(); // It ended with its process.
  }

  @Test
  void aLockFileThatWasRemovedOrReplacedIsTold() throws IOException {
    try (FolderLock lock = FolderLock.of(file)) {
      Files.delete(file);
      assertLost(lock, "no such file");
      try (FolderLock second = FolderLock.of(file)) {
        assertLost(lock, "another file");
        second.requireHeld();
      }
    }
    try (FolderLock lock = FolderLock.of(file)) {
      Path moved = Files.move(folder, folder.resolveSibling(folder.getFileName() + "-moved"));
      assertLost(lock, "no such file");
      Files.move(moved, folder);
      lock.requireHeld();
    }
  }

  private void assertLost(FolderLock lock, String found) {
    assertEquals(
        file
            + ": found "
            + found
            + ", expected the one that is locked: another process may write here",
        assertThrows(IOException.class, lock::requireHeld).getMessage());
  }

  /** A link would have the lock, and in time perhaps what is written, elsewhere. */
  @Test
  void aLinkIsNoLockFile() throws IOException {
    Path target = Files.writeString(folder.resolve("mine"), "text");
    try {
      Files.createSymbolicLink(file, target);
    } catch (UnsupportedOperationException | IOException e) {
      assumeTrue(false, "no symbolic links here: " + e);
    }
    assertThrows(IOException.class, () -> FolderLock.of(file));
    assertEquals("text", Files.readString(target));
  }
}
