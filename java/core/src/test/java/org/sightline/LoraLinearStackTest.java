package org.sightline;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;

/** {@link LoraLinear} layers that share their input, one by one and in one call. */
class LoraLinearStackTest extends LoraLinearFixture {
  @Test
  void aStackIsItsLayersOneByOne() {
    Random random = new Random(1);
    List<LoraLinear> linears = new ArrayList<>();
    for (long n : new long[] {12, 7, 33}) {
      LoraConfig config = LoraConfig.of((int) n / 3, 8);
      linears.add(layer(random, n, 17, ScalarType.Float, n != 7, config, DType.FLOAT32));
    }
    Tensor x = torch.randn(3, 5, 17).set_requires_grad(true);
    List<Tensor> together = LoraLinear.forward(x, linears);
    Tensor loss = torch.zeros();
    for (Tensor y : together) {
      loss = loss.add(y.sin().sum());
    }
    loss.backward();
    Tensor wideX = Oracle.wide(x);
    Tensor wideLoss = torch.zeros().to(ScalarType.Double);
    List<Tensor> as = new ArrayList<>();
    List<Tensor> bs = new ArrayList<>();
    for (int i = 0; i < linears.size(); i++) {
      as.add(Oracle.wide(linears.get(i).loraA()));
      bs.add(Oracle.wide(linears.get(i).loraB()));
      Tensor y = expected(linears.get(i), wideX, as.get(i), bs.get(i));
      Oracle.assertClose(y, together.get(i), 1e-5, "y" + i);
      wideLoss = wideLoss.add(y.sin().sum());
    }
    wideLoss.backward();
    Oracle.assertClose(wideX.grad(), x.grad(), 1e-5, "dx");
    for (int i = 0; i < linears.size(); i++) {
      Oracle.assertClose(as.get(i).grad(), linears.get(i).loraA().grad(), 1e-5, "dA" + i);
      Oracle.assertClose(bs.get(i).grad(), linears.get(i).loraB().grad(), 1e-5, "dB" + i);
    }
    linears.forEach(LoraLinear::close);
  }

  @Test
  void anUnusedOutputOfAStackLeavesItsAdapterAlone() {
    Random random = new Random(2);
    LoraConfig config = LoraConfig.of(2, 4);
    try (LoraLinear q = layer(random, 4, 6, ScalarType.Float, false, config, DType.FLOAT32);
        LoraLinear k = layer(random, 5, 6, ScalarType.Float, false, config, DType.FLOAT32)) {
      Tensor x = torch.randn(3, 6).set_requires_grad(true);
      LoraLinear.forward(x, List.of(q, k)).get(1).sum().backward();
      assertFalse(q.loraA().grad().defined());
      Tensor wideX = Oracle.wide(x);
      expected(k, wideX, Oracle.wide(k.loraA()), Oracle.wide(k.loraB())).sum().backward();
      Oracle.assertClose(wideX.grad(), x.grad(), 1e-5, "dx");
    }
  }

  @Test
  void aStackMayMixMergedAndDifferentDropout() {
    Random random = new Random(3);
    LoraConfig plain = LoraConfig.of(2, 4);
    LoraConfig dropping = new LoraConfig(2, 4, 0.5, false, LoraInit.KAIMING_UNIFORM);
    try (LoraLinear q = layer(random, 4, 6, ScalarType.Float, true, plain, DType.FLOAT32);
        LoraLinear k = layer(random, 5, 6, ScalarType.Float, true, dropping, DType.FLOAT32)) {
      Tensor x = torch.randn(3, 6);
      Tensor before = q.forward(x);
      k.train(false);
      Tensor kBefore = k.forward(x);
      k.train(true);
      assertTrue(torch.equal(before, LoraLinear.forward(x, List.of(q, k)).get(0)));
      k.train(false);
      q.merge();
      List<Tensor> mixed = LoraLinear.forward(x, List.of(q, k));
      Oracle.assertClose(before, mixed.get(0), 1e-6, "merged");
      assertTrue(torch.equal(kBefore, mixed.get(1)));
    }
  }
}
