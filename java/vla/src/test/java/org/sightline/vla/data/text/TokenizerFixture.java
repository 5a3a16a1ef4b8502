package org.sightline.vla.data.text;

import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.io.TempDir;

/** The embedded tokenizer for all tests of a class, and a folder for each. */
public abstract class TokenizerFixture {
  public static PromptTokenizer tokenizer;

  @TempDir public Path folder;

  @BeforeAll
  public static void open() throws IOException {
    tokenizer = HuggingFacePromptTokenizer.embedded();
  }

  @AfterAll
  public static void close() {
    tokenizer.close();
  }
}
