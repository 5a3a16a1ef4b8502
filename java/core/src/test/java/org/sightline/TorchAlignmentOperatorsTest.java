package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.sightline.Oracle.assertClose;

import java.util.List;
import java.util.Map;
import java.util.Random;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The alignment operators beside compositions of libtorch's own in fp64. */
class TorchAlignmentOperatorsTest extends TorchOperatorsFixture {
  @ParameterizedTest
  @CsvSource({"false,Float,false", "true,Float,false", "true,Float,true", "true,BFloat16,true"})
  void alignmentLossIsThatOfLibtorch(boolean weighted, ScalarType dtype, boolean strided) {
    Random random = new Random(7);
    Map<String, Tensor> parameters = projector(random, 65, 31, 13);
    boolean bfloat16 = dtype == ScalarType.BFloat16;
    Tensor all = Oracle.activations(random, dtype, 3, 11, 65);
    Tensor hidden = all.narrow(1, 2, 7);
    // Not contiguous in the last dimension: the operator makes a copy.
    hidden = strided ? hidden.transpose(1, 2).contiguous().transpose(1, 2) : hidden;
    Tensor teacher = Oracle.normal(random, dtype, 1, 3, 7, 13);
    Tensor mask = weighted ? torch.rand(3, 7) : null;

    long handle =
        call("alignment_create", inOrder(parameters), bfloat16, false, 1e-5, 0.0, 1, 1)
            .get(0)
            .toInt();
    List<IValue> result = call("alignment_loss", cosine(handle, hidden, teacher, mask, true));
    List<IValue> lossAlone = call("alignment_loss", cosine(handle, hidden, teacher, mask, false));
    call("alignment_destroy", handle);

    Tensor wide = Oracle.wide(hidden).set_requires_grad(true);
    List<Tensor> expected =
        Oracle.alignment(
            Oracle.wide(parameters),
            wide,
            0,
            Oracle.wide(teacher),
            mask == null ? null : Oracle.wide(mask));
    expected.get(0).backward();
    double tolerance = Oracle.tolerance(bfloat16);
    assertLoss(expected, mask, result.get(0).toTensor(), tolerance);
    assertClose(expected.get(1), result.get(1).toTensor(), tolerance, "cosine");
    assertClose(wide.grad(), result.get(2).toTensor(), tolerance, "gradient");
    assertEquals(dtype.value, result.get(2).toTensor().scalar_type().value);
    assertEquals(
        result.get(0).toTensor().item_float(), lossAlone.get(0).toTensor().item_float(), 0);
    assertEquals(0, lossAlone.get(2).toTensor().numel());
    assertTrue(
        refusal("alignment_loss", cosine(handle, hidden, teacher, mask, true)).contains("live"));
  }

  @Test
  void aTrainableProjectorIsReadAtEachCall() {
    Random random = new Random(8);
    long d = 17;
    Map<String, Tensor> first = projector(random, d, 31, 13);
    Map<String, Tensor> second = projector(random, d, 31, 13);
    Tensor hidden = Oracle.activations(random, FLOAT, 2, 5, d);
    Tensor teacher = Oracle.normal(random, FLOAT, 1, 2, 5, 13);
    long handle =
        call("alignment_create", inOrder(first), false, true, 1e-5, 0.0, 1, 1).get(0).toInt();
    for (Map<String, Tensor> parameters : List.of(first, second)) {
      List<IValue> result =
          call(
              "alignment_loss_trainable",
              cosine(handle, hidden, teacher, null, inOrder(parameters), true, 5L));
      Map<String, Tensor> wide = Oracle.wide(parameters);
      wide.values().forEach(parameter -> parameter.set_requires_grad(true));
      Tensor wideHidden = Oracle.wide(hidden).set_requires_grad(true);
      List<Tensor> expected = Oracle.alignment(wide, wideHidden, 0, Oracle.wide(teacher), null);
      expected.get(0).backward();
      assertLoss(expected, null, result.get(0).toTensor(), 1e-5);
      assertClose(wideHidden.grad(), result.get(2).toTensor(), 1e-5, "gradient");
      List<Tensor> gradients = tensors(result.get(3));
      for (int i = 0; i < 8; i++) {
        String name = NativeAlignment.PARAMETERS.get(i);
        assertClose(wide.get(name).grad(), gradients.get(i), 1e-5, name);
      }
    }
    call("alignment_destroy", handle);
  }

  /** The loss is a mean: cosines off by e in norm move it by at most e |m| / sum m. */
  private static void assertLoss(
      List<Tensor> expected, Tensor mask, Tensor actual, double tolerance) {
    Tensor cosine = expected.get(1).detach();
    Tensor m = mask == null ? torch.ones_like(cosine) : mask;
    double slack =
        tolerance
            * cosine.norm().item_double()
            * m.to(ScalarType.Double).norm().item_double()
            / m.sum().item_double();
    assertEquals(expected.get(0).item_double(), actual.item_double(), slack, "loss");
  }
}
