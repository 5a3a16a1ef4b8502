package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.sightline.Oracle.assertClose;

import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.bytedeco.pytorch.AdamWOptions;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;

/** The AdamW operators beside libtorch's optimizer. */
class TorchAdamWOperatorsTest extends TorchOperatorsFixture {
  /** A handle for parameters of one group, without masters; each remainder may be null. */
  private static long create(List<Tensor> parameters, List<Tensor> remainders) {
    List<Tensor> none = Collections.nCopies(parameters.size(), null);
    List<Long> groups = Collections.nCopies(parameters.size(), 0L);
    return call(
            "adamw_create",
            parameters,
            zeros(parameters),
            zeros(parameters),
            none,
            remainders,
            groups)
        .get(0)
        .toInt();
  }

  private static List<Tensor> zeros(List<Tensor> like) {
    return like.stream().map(t -> torch.zeros(t.shape())).toList();
  }

  /** Arguments of a step that zeroes gradients, which the first parameters have. */
  private static Object[] step(
      long handle,
      List<Tensor> parameters,
      List<Tensor> gradients,
      double lr,
      double decay,
      double maxGradNorm) {
    return new Object[] {
      handle,
      parameters,
      gradients,
      LongStream.range(0, gradients.size()).boxed().toList(),
      List.of(lr),
      List.of(0.9),
      List.of(0.999),
      List.of(1e-8),
      List.of(decay),
      1.0,
      maxGradNorm,
      false,
      true
    };
  }

  @Test
  void adamWIsThatOfLibtorch() {
    Random random = new Random(12);
    List<Tensor> ours =
        List.of(
            Oracle.normal(random, FLOAT, 1, 31, 7),
            Oracle.normal(random, FLOAT, 1, 13),
            Oracle.normal(random, FLOAT, 1, 5));
    TensorVector theirs =
        new TensorVector(
            ours.stream().map(t -> t.clone().set_requires_grad(true)).toArray(Tensor[]::new));
    AdamWOptions options = new AdamWOptions(1e-2);
    options.weight_decay().put(0.1);
    org.bytedeco.pytorch.AdamW reference = new org.bytedeco.pytorch.AdamW(theirs, options);
    long handle = create(ours, Collections.nCopies(3, null));
    for (int step = 0; step < 4; step++) {
      // The last parameter never has a gradient, the second not in the first step.
      int first = step == 0 ? 1 : 2;
      List<Tensor> gradients =
          Stream.iterate(0, i -> i + 1)
              .limit(first)
              .map(i -> torch.randn_like(ours.get(i)))
              .toList();
      for (int i = 0; i < first; i++) {
        theirs.get(i).mutable_grad().put(gradients.get(i).clone());
      }
      torch.clip_grad_norm_(theirs, 2.0);
      reference.step();
      Tensor report =
          call("adamw_step_", step(handle, ours, gradients, 1e-2, 0.1, 2)).get(0).toTensor();
      assertTrue(report.select(0, 0).item_float() > 2, "norm before clipping");
      for (int i = 0; i < 3; i++) {
        assertClose(theirs.get(i), ours.get(i), 1e-5, "parameter " + i + " in step " + step);
      }
      gradients.forEach(g -> assertEquals(0, g.abs().max().item_float(), "zeroed gradient"));
    }
    assertEquals(
        List.of(4L, 3L, 0L),
        LongStream.of(call("adamw_get_steps", handle).get(0).toIntVector().get()).boxed().toList());
    call("adamw_set_steps", handle, List.of(9L, 8L, 7L));
    assertEquals(8, call("adamw_get_steps", handle).get(0).toIntVector().get(1));
    call("adamw_destroy", handle);
    assertTrue(refusal("adamw_get_steps", handle).contains("expected a live handle"));
  }

  @Test
  void adamWKeepsARemainder() {
    Tensor param = torch.ones(31).to(ScalarType.BFloat16);
    Tensor remainder = torch.zeros(31).to(ScalarType.Short);
    long handle = create(List.of(param), List.of(remainder));
    call("adamw_step_", step(handle, List.of(param), List.of(torch.ones(31)), 1e-3, 0, 0));
    // 1 - 0.001 = 0x3f7fbe77: 0x3f80 and -0x4189.
    assertEquals(1, param.to(FLOAT).mean().item_float());
    assertEquals(-0x4189, remainder.to(FLOAT).mean().item_float(), 1);
    call("adamw_destroy", handle);
  }

  @Test
  void movedParametersAreRefused() {
    Tensor param = torch.randn(3);
    long handle = create(List.of(param), Collections.nCopies(1, null));
    List<Tensor> moved = List.of(param.clone());
    String message =
        refusal("adamw_step_", step(handle, moved, List.of(torch.randn(3)), 1e-2, 0.1, 0));
    assertTrue(message.contains("params[0]: memory other than at adamw_create"), message);
    call("adamw_destroy", handle);
  }
}
