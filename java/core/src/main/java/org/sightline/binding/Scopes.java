package org.sightline.binding;

import java.util.List;
import java.util.function.Supplier;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;

/**
 * Ownership of native objects: temporaries die with the block that made them, results outlive it.
 *
 * <p>Without this every intermediate of a forward pass would stay referenced from Java until the
 * step's scope closes, also those autograd has no use for.
 */
public final class Scopes {
  private Scopes() {}

  /** Runs {@code body} in a scope of its own; only the returned tensor survives it. */
  public static Tensor scoped(Supplier<Tensor> body) {
    return scopedAll(() -> List.of(body.get())).get(0);
  }

  /**
   * Runs {@code body} in a scope of its own; only the returned tensors survive it. They belong to
   * the innermost scope then open, or to the garbage collector if none is.
   */
  public static List<Tensor> scopedAll(Supplier<List<Tensor>> body) {
    List<Tensor> results;
    try (PointerScope scope = new PointerScope()) {
      results = body.get();
      results.forEach(Scopes::own);
    }
    PointerScope outer = PointerScope.getInnerScope();
    if (outer != null) {
      for (Tensor result : results) {
        outer.attach(result);
        result.releaseReference();
      }
    }
    return results;
  }

  /** Runs {@code body} in a scope of its own; nothing survives it but what it keeps. */
  public static void run(Runnable body) {
    try (PointerScope scope = new PointerScope()) {
      body.run();
    }
  }

  /** Runs {@code body} without recording a graph. */
  public static <T> T withoutGradient(Supplier<T> body) {
    boolean before = GradMode.is_enabled();
    GradMode.set_enabled(false);
    try {
      return body.get();
    } finally {
      GradMode.set_enabled(before);
    }
  }

  /**
   * Takes a new object out of every scope: it lives until {@code close()} is called on it once, or
   * the garbage collector finds it.
   */
  public static <P extends Pointer> P own(P pointer) {
    // An object joins the innermost scope at birth; a second reference outlives that scope.
    pointer.retainReference();
    return pointer;
  }
}
