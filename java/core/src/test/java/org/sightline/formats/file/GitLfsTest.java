package org.sightline.formats.file;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.formats.safetensors.ShardedSafetensors;

class GitLfsTest {
  private static final String POINTER =
      "version https://git-lfs.github.com/spec/v1\noid sha256:" + "7".repeat(64) + "\nsize 163\n";

  @TempDir Path folder;

  private interface Reading {
    void of(Path file) throws IOException;
  }

  private static void refused(Path file, Reading reading) {
    FormatException e = assertThrows(FormatException.class, () -> reading.of(file));
    assertEquals(
        file
            + ": document: found a Git LFS pointer, expected the file it stands for: run \"git lfs"
            + " install\" and \"git lfs pull\" in its repository",
        e.getMessage());
  }

  @Test
  void pointersAreNamedWhateverTheyStandFor() throws IOException {
    refused(
        Files.writeString(folder.resolve("x.safetensors"), POINTER),
        file -> Safetensors.open(file).close());
    refused(Files.writeString(folder.resolve("x.json"), POINTER), JsonFields::read);
    Path index = Files.writeString(folder.resolve("model.safetensors.index.json"), POINTER);
    refused(index, file -> ShardedSafetensors.open(folder).close());
  }

  @Test
  void otherFilesPass() throws IOException {
    for (String content :
        new String[] {"", "version", "version 2 of a long story, in many words"}) {
      GitLfs.requireContent(Files.writeString(folder.resolve("x"), content));
    }
  }
}
