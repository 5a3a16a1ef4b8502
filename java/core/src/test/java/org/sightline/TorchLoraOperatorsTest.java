package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.sightline.Oracle.assertClose;

import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The LoRA operators beside compositions of libtorch's own in fp64. */
class TorchLoraOperatorsTest extends TorchOperatorsFixture {
  @ParameterizedTest
  @ValueSource(strings = {"Float", "BFloat16"})
  void loraLinearIsThatOfLibtorch(ScalarType dtype) {
    Random random = new Random(9);
    Tensor x = Oracle.activations(random, dtype, 2, 5, 31);
    Tensor weight = Oracle.normal(random, dtype, 0.2, 13, 31);
    Tensor bias = Oracle.normal(random, dtype, 1, 13);
    Tensor a = Oracle.normal(random, FLOAT, 0.2, 4, 31);
    Tensor b = Oracle.normal(random, FLOAT, 0.5, 13, 4);
    // Expanded: the gradient of a sum has strides of 0.
    Tensor dy = Oracle.normal(random, dtype, 1, 13, 1, 1).permute(1, 2, 0).expand(2, 5, 13);
    double tolerance = Oracle.tolerance(dtype == ScalarType.BFloat16);

    List<Tensor> wide =
        Stream.of(x, a, b).map(t -> Oracle.wide(t).set_requires_grad(true)).toList();
    Tensor expected =
        Oracle.lora(
            wide.get(0), Oracle.wide(weight), Oracle.wide(bias), wide.get(1), wide.get(2), 1.5);
    expected.backward(
        Oracle.wide(dy), new org.bytedeco.pytorch.BoolOptional(), false, tensorList());

    List<IValue> forward = call("lora_linear", x, weight, bias, a, b, 1.5, 0.0, 0L);
    assertClose(expected, forward.get(0).toTensor(), tolerance, "y");
    Tensor s = forward.get(1).toTensor();
    List<IValue> backward =
        call("lora_linear_backward", dy, x, weight, a, b, s, 1.5, 0.0, 0L, true, true);
    for (int i = 0; i < 3; i++) {
      assertClose(
          wide.get(i).grad(),
          backward.get(i).toTensor(),
          tolerance,
          List.of("dx", "da", "db").get(i));
    }
    List<IValue> noInput =
        call("lora_linear_backward", dy, x, weight, a, b, s, 1.5, 0.0, 0L, false, true);
    assertEquals(0, noInput.get(0).toTensor().numel());
    List<IValue> noAdapter =
        call("lora_linear_backward", dy, x, weight, a, b, s, 1.5, 0.0, 0L, true, false);
    assertEquals(0, noAdapter.get(1).toTensor().numel());
    assertClose(wide.get(0).grad(), noAdapter.get(0).toTensor(), tolerance, "dx alone");

    // The adapter alone, on a base product of libtorch's.
    Tensor base = torch.linear(x, weight).add(bias);
    Tensor before = base.clone();
    Tensor sum = call("lora_delta", base, x, a, b, 1.5, 0.0, 0L).get(0).toTensor();
    assertTrue(torch.equal(before, base), "lora_delta wrote its input");
    assertClose(expected, sum, 2 * tolerance, "y of lora_delta");
    call("lora_delta_", base, x, a, b, 1.5, 0.0, 0L);
    assertTrue(torch.equal(sum, base), "lora_delta_ and lora_delta differ");
  }

  private static org.bytedeco.pytorch.TensorArrayRefOptional tensorList() {
    return new org.bytedeco.pytorch.TensorArrayRefOptional();
  }

  @Test
  void linearsThatShareTheirInputEqualSingleOnes() {
    Random random = new Random(10);
    Tensor x = Oracle.activations(random, FLOAT, 7, 31);
    List<Tensor> weights =
        Stream.of(13, 8, 20).map(n -> Oracle.normal(random, FLOAT, 0.2, n, 31)).toList();
    List<Tensor> biases = java.util.Arrays.asList(null, Oracle.normal(random, FLOAT, 1, 8), null);
    List<Tensor> as = Stream.of(4, 2, 3).map(r -> Oracle.normal(random, FLOAT, 1, r, 31)).toList();
    List<Tensor> bs =
        List.of(
            Oracle.normal(random, FLOAT, 1, 13, 4),
            Oracle.normal(random, FLOAT, 1, 8, 2),
            Oracle.normal(random, FLOAT, 1, 20, 3));
    List<Tensor> dys =
        Stream.of(13, 8, 20).map(n -> Oracle.normal(random, FLOAT, 1, 7, n)).toList();
    List<Double> scales = List.of(0.5, 2.0, 1.0);
    List<Long> seeds = List.of(1L, 2L, 3L);

    List<IValue> forward = call("lora_linears", x, weights, biases, as, bs, scales, 0.25, seeds);
    List<Tensor> y = tensors(forward.get(0));
    List<Tensor> s = tensors(forward.get(1));
    List<IValue> backward =
        call("lora_linears_backward", dys, x, weights, as, bs, s, scales, 0.25, seeds, true, true);
    Tensor dx = torch.zeros_like(x);
    for (int i = 0; i < 3; i++) {
      Tensor w = weights.get(i);
      Tensor a = as.get(i);
      Tensor b = bs.get(i);
      List<IValue> one =
          call("lora_linear", x, w, biases.get(i), a, b, scales.get(i), 0.25, seeds.get(i));
      assertClose(one.get(0).toTensor(), y.get(i), 1e-5, "y");
      List<IValue> gradients =
          call(
              "lora_linear_backward",
              dys.get(i),
              x,
              w,
              a,
              b,
              one.get(1).toTensor(),
              scales.get(i),
              0.25,
              seeds.get(i),
              true,
              true);
      dx = dx.add(gradients.get(0).toTensor());
      assertClose(gradients.get(1).toTensor(), tensors(backward.get(1)).get(i), 1e-5, "da");
      assertClose(gradients.get(2).toTensor(), tensors(backward.get(2)).get(i), 1e-5, "db");
    }
    assertClose(dx, backward.get(0).toTensor(), 1e-5, "dx");
  }

  @Test
  void mergedWeightsMultiplyAsTheAdapterDid() {
    Random random = new Random(11);
    Tensor weight = Oracle.normal(random, FLOAT, 1, 13, 31);
    Tensor a = Oracle.normal(random, FLOAT, 1, 4, 31);
    Tensor b = Oracle.normal(random, FLOAT, 1, 13, 4);
    Tensor before = weight.clone();
    call("lora_merge_", weight, a, b, 0.5, false, 0L);
    assertClose(
        Oracle.wide(before).add(torch.mm(Oracle.wide(b), Oracle.wide(a)).mul(new Scalar(0.5))),
        weight,
        1e-5,
        "merged weight");
    call("lora_unmerge_", weight, a, b, 0.5, false, 0L);
    assertClose(before, weight, 1e-6, "unmerged weight");
  }
}
