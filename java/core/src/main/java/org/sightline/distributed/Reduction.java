package org.sightline.distributed;

import org.bytedeco.pytorch.ReduceOp.RedOpType;

/** How the tensors of several processes become one. */
public enum Reduction {
  SUM(RedOpType.SUM),
  MIN(RedOpType.MIN),
  MAX(RedOpType.MAX);

  final RedOpType type;

  Reduction(RedOpType type) {
    this.type = type;
  }
}
