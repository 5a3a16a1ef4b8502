package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;

/**
 * What crosses the stable ABI beside numbers: the library's own words on bad input, and ownership,
 * where each side frees what it should.
 */
class TorchOperatorsBoundaryTest extends TorchOperatorsFixture {
  @Test
  void badInputIsRefusedInTheLibrarysWords() {
    Random random = new Random(13);
    Tensor x = torch.randn(5, 31);
    Tensor weight = torch.randn(13, 31);
    Tensor a = torch.randn(4, 31);
    Tensor b = torch.randn(13, 4);
    Map<String, String> messages = new LinkedHashMap<>();
    messages.put(
        refusal("lora_linear", x, weight, null, torch.randn(4, 30), b, 1.0, 0.0, 0L),
        "linears[0].a");
    messages.put(
        refusal("lora_linear", x, weight, null, a, torch.randn(13), 1.0, 0.0, 0L),
        "b: 1 dimensions");
    messages.put(
        refusal("lora_linear", x.to(ScalarType.Double), weight, null, a, b, 1.0, 0.0, 0L),
        "x: dtype");
    messages.put(
        refusal("lora_linear", x.to(ScalarType.Long), weight, null, a, b, 1.0, 0.0, 0L),
        "x: dtype");
    messages.put(
        refusal("lora_linear", x, weight.t().contiguous().t(), null, a, b, 1.0, 0.0, 0L),
        "linears[0].weight");
    messages.put(refusal("lora_linear", x, weight, null, a, b, 1.0, 1.5, 0L), "dropout");
    messages.put(
        refusal(
            "lora_linears",
            x,
            List.of(weight),
            List.of(a, b),
            List.of(a),
            List.of(b),
            List.of(1.0),
            0.0,
            List.of(0L)),
        "bias: 2 items, expected 1");
    messages.put(
        refusal("alignment_create", List.of(a, torch.randn(1)), false, false, 1e-5, 0.0, 1, 1),
        "weights.layers[0].bias: shape [1], expected");
    messages.put(
        refusal(
            "alignment_create", List.of(a, torch.randn(1, 2, 3)), false, false, 1e-5, 0.0, 1, 1),
        "parameters: 2 tensors, of which 1 fit");
    messages.put(
        refusal("alignment_create", List.of(a), false, false, 1e-5, 0.0, 1, 1L << 32),
        "activation: 4294967296");
    messages.put(
        refusal("alignment_loss", cosine(12345L, x, x, null, true)), "hidden: 2 dimensions");
    Tensor h = torch.randn(1, 2, 3);
    messages.put(refusal("alignment_loss", cosine(12345L, h, h, null, true)), "live handle");
    messages.put(refusal("alignment_loss", cosine(0L, h, h, null, true)), "alignment");
    messages.put(refusal("lora_merge_", weight, a, torch.randn(12, 4), 1.0, false, 0L), "b");
    Map<String, Tensor> parameters = projector(random, 3, 4, 5);
    messages.put(
        refusal("alignment_create", inOrder(parameters), false, false, -1.0, 0.0, 1, 1),
        "norm_eps");
    messages.put(
        refusal(
            "adamw_create",
            List.of(x),
            List.of(a),
            List.of(x),
            List.of(x),
            List.of(x),
            List.of(0L)),
        "exp_avg");
    messages.put(
        refusal(
            "adamw_create", List.of(x), List.of(), List.of(x), List.of(x), List.of(x), List.of(0L)),
        "exp_avg: 0 items, expected 1");
    messages.forEach(
        (message, part) ->
            assertTrue(message.contains(part), () -> "\"" + message + "\" lacks \"" + part + "\""));
  }

  @Test
  void argumentsAreReleasedAfterSuccessAndRefusal() {
    Tensor x = torch.randn(5, 31);
    Tensor turned = torch.randn(31, 5).t();
    Tensor weight = torch.randn(13, 31);
    Tensor bias = torch.randn(13);
    Tensor a = torch.randn(4, 31);
    Tensor b = torch.randn(13, 4);
    List<Tensor> inputs = List.of(x, turned, weight, bias, a, b);
    List<Long> before = inputs.stream().map(Tensor::use_count).toList();
    try (PointerScope calls = new PointerScope()) {
      call("lora_linear", x, weight, bias, a, b, 1.0, 0.0, 0L);
      call("lora_linear", turned, weight, bias, a, b, 1.0, 0.0, 0L);
      refusal("lora_linear", x, weight, bias, a, b, 1.0, 2.0, 0L);
      call(
          "lora_linears",
          x,
          List.of(weight, weight),
          java.util.Arrays.asList(bias, null),
          List.of(a, a),
          List.of(b, b),
          List.of(1.0, 2.0),
          0.0,
          List.of(0L, 0L));
      refusal(
          "lora_linears",
          x,
          List.of(weight, weight),
          java.util.Arrays.asList(bias, null),
          List.of(a),
          List.of(b, b),
          List.of(1.0, 2.0),
          0.0,
          List.of(0L, 0L));
      refusal("alignment_create", List.of(b, a), false, false, 1e-5, 0.0, 1, 1);
      List<Tensor> none = java.util.Arrays.asList((Tensor) null);
      long handle =
          call(
                  "adamw_create",
                  List.of(a),
                  List.of(torch.zeros_like(a)),
                  List.of(torch.zeros_like(a)),
                  none,
                  none,
                  List.of(0L))
              .get(0)
              .toInt();
      call("adamw_destroy", handle);
    }
    assertEquals(before, inputs.stream().map(Tensor::use_count).toList());
  }

  @Test
  void resultsAreReleasedWithTheirLastReference() {
    Tensor x = torch.randn(1024, 64);
    Tensor weight = torch.randn(1024, 64);
    Tensor a = torch.randn(4, 64);
    Tensor b = torch.randn(1024, 4);
    try (TensorBytes tensors = new TensorBytes()) {
      try (PointerScope calls = new PointerScope()) {
        call("lora_linear", x, weight, null, a, b, 1.0, 0.0, 0L);
        tensors(
            call(
                    "lora_linears",
                    x,
                    List.of(weight),
                    java.util.Arrays.asList((Tensor) null),
                    List.of(a),
                    List.of(b),
                    List.of(1.0),
                    0.0,
                    List.of(0L))
                .get(0));
        assertTrue(tensors.live() >= 2 * 4 * 1024 * 1024, () -> tensors.live() + " bytes");
      }
      assertEquals(0, tensors.live());
    }
  }
}
