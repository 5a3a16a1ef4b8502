package org.sightline.vla.data;

import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.io.TempDir;

/** The embedded tokenizer for all tests of a class, and a folder for each. */
abstract class TokenizerFixture {
  static PromptTokenizer tokenizer;

  @TempDir Path folder;

  @BeforeAll
  static void open() throws IOException {
    tokenizer = HuggingFacePromptTokenizer.embedded();
  }

  @AfterAll
  static void close() {
    tokenizer.close();
  }
}
