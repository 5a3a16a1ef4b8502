package org.sightline.autograd;

import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;

/** Moves native objects between {@code PointerScope}s. */
final class Handles {
  private Handles() {}

  /** Takes a new object out of every scope; the caller closes it. */
  static <P extends Pointer> P own(P pointer) {
    // An object joins the innermost scope at birth; a second reference outlives that scope.
    pointer.retainReference();
    return pointer;
  }

  /** Hands an owned object to the innermost open scope, or to the garbage collector if none is. */
  static void release(Pointer pointer) {
    PointerScope scope = PointerScope.getInnerScope();
    if (scope != null) {
      scope.attach(pointer);
      pointer.releaseReference();
    }
  }
}
