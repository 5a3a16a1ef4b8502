package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.sightline.Oracle.assertClose;

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
  @Test
  void adamWIsThatOfLibtorch() {
    Random random = new Random(12);
    List<Tensor> ours =
        List.of(
            Oracle.normal(random, FLOAT, 1, 31, 7),
            Oracle.normal(random, FLOAT, 1, 13),
            Oracle.normal(random, FLOAT, 1, 5));
    List<Tensor> m = ours.stream().map(torch::zeros_like).toList();
    List<Tensor> v = ours.stream().map(torch::zeros_like).toList();
    TensorVector theirs =
        new TensorVector(
            ours.stream().map(t -> t.clone().set_requires_grad(true)).toArray(Tensor[]::new));
    AdamWOptions options = new AdamWOptions(1e-2);
    options.weight_decay().put(0.1);
    org.bytedeco.pytorch.AdamW reference = new org.bytedeco.pytorch.AdamW(theirs, options);
    List<Tensor> noMasters = java.util.Arrays.asList(null, null, null);
    long handle =
        call("adamw_create", ours, m, v, noMasters, noMasters, List.of(0L, 0L, 0L)).get(0).toInt();
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
          call(
                  "adamw_step_",
                  handle,
                  ours,
                  gradients,
                  LongStream.range(0, first).boxed().toList(),
                  List.of(1e-2),
                  List.of(0.9),
                  List.of(0.999),
                  List.of(1e-8),
                  List.of(0.1),
                  1.0,
                  2.0,
                  false,
                  true)
              .get(0)
              .toTensor();
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
    long handle =
        call(
                "adamw_create",
                List.of(param),
                List.of(torch.zeros(31)),
                List.of(torch.zeros(31)),
                java.util.Arrays.asList((Tensor) null),
                List.of(remainder),
                List.of(0L))
            .get(0)
            .toInt();
    call(
        "adamw_step_",
        handle,
        List.of(param),
        List.of(torch.ones(31)),
        List.of(0L),
        List.of(1e-3),
        List.of(0.9),
        List.of(0.999),
        List.of(1e-8),
        List.of(0.0),
        1.0,
        0.0,
        false,
        true);
    // 1 - 0.001 = 0x3f7fbe77: 0x3f80 and -0x4189.
    assertEquals(1, param.to(FLOAT).mean().item_float());
    assertEquals(-0x4189, remainder.to(FLOAT).mean().item_float(), 1);
    call("adamw_destroy", handle);
  }

  @Test
  void movedParametersAreRefused() {
    Tensor param = torch.randn(3);
    List<Tensor> none = java.util.Arrays.asList((Tensor) null);
    long handle =
        call(
                "adamw_create",
                List.of(param),
                List.of(torch.zeros(3)),
                List.of(torch.zeros(3)),
                none,
                none,
                List.of(0L))
            .get(0)
            .toInt();
    String message =
        refusal(
            "adamw_step_",
            handle,
            List.of(param.clone()),
            List.of(torch.randn(3)),
            List.of(0L),
            List.of(1e-2),
            List.of(0.9),
            List.of(0.999),
            List.of(1e-8),
            List.of(0.1),
            1.0,
            0.0,
            false,
            true);
    assertTrue(message.contains("params[0]: memory other than at adamw_create"), message);
    call("adamw_destroy", handle);
  }
}
