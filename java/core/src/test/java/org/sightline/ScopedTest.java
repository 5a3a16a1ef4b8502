package org.sightline;

import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;

/**
 * Tests of tensors: the library is loaded, libtorch's generator starts from a seed, and what a test
 * made is freed behind it.
 */
public abstract class ScopedTest {
  private final long seed;
  protected PointerScope scope;

  protected ScopedTest(long seed) {
    this.seed = seed;
  }

  @BeforeAll
  static void loadLibrary() {
    Sightline.load();
  }

  @BeforeEach
  final void openScope() {
    scope = new PointerScope();
    torch.manual_seed(seed);
  }

  @AfterEach
  protected void closeScope() {
    scope.close();
  }
}
