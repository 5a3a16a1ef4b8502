package org.sightline.autograd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.DType;
import org.sightline.LoraConfig;
import org.sightline.LoraInit;
import org.sightline.LoraLinear;
import org.sightline.Values;

class GradientCheckpointTest extends CustomFunctionFixture {
  /** A residual block with both kinds of dropout. */
  private static final class Block implements AutoCloseable {
    final LoraLinear linear;
    int runs;

    Block(long seed) {
      torch.manual_seed(seed);
      LoraConfig lora = new LoraConfig(3, 6, 0.3, false, LoraInit.GAUSSIAN);
      linear = new LoraLinear(torch.randn(8, 8), null, lora, DType.FLOAT32, seed);
      try (NoGradGuard noGrad = new NoGradGuard()) {
        linear.loraB().copy_(torch.randn(8, 3));
      }
    }

    List<Tensor> parameters() {
      return List.of(linear.loraA(), linear.loraB());
    }

    Tensor forward(Tensor x) {
      runs++;
      return x.add(torch.dropout(linear.forward(x.sin()).tanh(), 0.4, true));
    }

    GradientCheckpoint checkpointed() {
      return new GradientCheckpoint(this::forward, parameters(), List.of(linear));
    }

    @Override
    public void close() {
      linear.close();
    }
  }

  private record Outcome(
      List<Float> y,
      List<List<Float>> gradients,
      List<Float> next,
      List<Long> positions,
      int runs) {}

  private static Outcome run(boolean checkpoint, boolean inputNeedsGradient) {
    try (PointerScope inner = new PointerScope();
        Block first = new Block(1);
        Block second = new Block(2)) {
      torch.manual_seed(11);
      Tensor leaf = torch.randn(5, 8).set_requires_grad(inputNeedsGradient);
      Tensor x = inputNeedsGradient ? leaf.cos() : leaf;
      Tensor y = x;
      // One of them twice: its second computations come in another order than its first.
      for (Block block : List.of(first, second, first)) {
        y = checkpoint ? block.checkpointed().forward(y) : block.forward(y);
      }
      // Something random between forward and backward must not be disturbed.
      Tensor noise = torch.randn(5, 8);
      y.mul(noise).sum().backward();
      List<List<Float>> gradients = new ArrayList<>();
      gradients.add(inputNeedsGradient ? Values.floats(leaf.grad()) : List.of());
      for (Block block : List.of(first, second)) {
        block.parameters().forEach(parameter -> gradients.add(Values.floats(parameter.grad())));
      }
      return new Outcome(
          Values.floats(y),
          gradients,
          Values.floats(torch.randn(3)),
          List.of(first.linear.rngState(), second.linear.rngState()),
          first.runs + second.runs);
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void gradientsAndRandomNumbersHaveTheBitsOfThePlainBlock(boolean inputNeedsGradient) {
    Outcome plain = run(false, inputNeedsGradient);
    Outcome checkpointed = run(true, inputNeedsGradient);
    assertEquals(plain.y, checkpointed.y);
    assertEquals(plain.gradients, checkpointed.gradients);
    assertEquals(plain.next, checkpointed.next, "libtorch's generator goes on where it was");
    assertEquals(plain.positions, checkpointed.positions);
    assertEquals(3, plain.runs);
    assertEquals(6, checkpointed.runs);
    assertFalse(plain.gradients.stream().flatMap(List::stream).allMatch(value -> value == 0));
  }

  @Test
  void withoutGradientsTheBodyRunsOnceAndNothingIsKept() {
    try (Block block = new Block(1);
        NoGradGuard noGrad = new NoGradGuard()) {
      Tensor y = block.checkpointed().forward(torch.randn(2, 8));
      assertFalse(y.requires_grad());
      assertEquals(1, block.runs);
      assertEquals(0, FunctionNode.alive());
    }
  }

  @Test
  void aKeptGraphMayBeWalkedTwice() {
    try (Block block = new Block(1)) {
      Tensor y = block.checkpointed().forward(torch.randn(2, 8)).sum();
      y.backward(
          new Tensor(),
          new BoolOptional(true),
          false,
          new org.bytedeco.pytorch.TensorArrayRefOptional());
      List<Float> once = Values.floats(block.linear.loraB().grad());
      y.backward();
      List<Float> twice = Values.floats(block.linear.loraB().grad());
      for (int i = 0; i < once.size(); i++) {
        assertEquals(2 * once.get(i), twice.get(i));
      }
    }
  }

  @Test
  void aParameterThatIsNotUsedGetsNoGradient() {
    Tensor used = torch.randn(8, 8).set_requires_grad(true);
    Tensor unused = torch.randn(8, 8).set_requires_grad(true);
    Tensor frozen = torch.randn(8, 8);
    GradientCheckpoint checkpoint =
        new GradientCheckpoint(
            x -> x.mm(used).mm(frozen), List.of(used, unused, frozen), List.of());
    checkpoint.forward(torch.randn(2, 8)).sum().backward();
    assertTrue(used.grad().defined());
    assertFalse(unused.grad().defined());
    assertFalse(frozen.grad().defined());
  }

  /** What stays allocated between forward and backward, as the system counts it. */
  @Test
  void keepsTheInputsOfBlocksAlone() throws IOException {
    assumeTrue(Files.exists(Path.of("/proc/self/status")), "no /proc/self/status on this system");
    UnaryOperator<Tensor> block = x -> x.sin().sin().sin().sin();
    long plain = bytesKept(block);
    GradientCheckpoint checkpoint = new GradientCheckpoint(block, List.of(), List.of());
    long checkpointed = bytesKept(checkpoint::forward);
    // Four blocks: 16 results against 4.
    assertNotEquals(0, plain);
    assertTrue(checkpointed < 0.4 * plain, checkpointed + " bytes against " + plain);
  }

  private static long bytesKept(UnaryOperator<Tensor> block) throws IOException {
    try (PointerScope inner = new PointerScope()) {
      // Above 32 MiB, the most that glibc keeps to itself when it is freed.
      Tensor x = torch.ones(9 << 20).set_requires_grad(true);
      long before = residentBytes();
      Tensor y = x;
      for (int i = 0; i < 4; i++) {
        try (PointerScope temporary = new PointerScope()) {
          y = block.apply(y).retainReference();
        }
        inner.attach(y);
        y.releaseReference();
      }
      long kept = residentBytes() - before;
      torch.grad(new TensorVector(y.sum()), new TensorVector(x));
      return kept;
    }
  }

  private static long residentBytes() throws IOException {
    String line =
        Files.readAllLines(Path.of("/proc/self/status")).stream()
            .filter(text -> text.startsWith("VmRSS:"))
            .findFirst()
            .orElseThrow();
    return Long.parseLong(line.replaceAll("\\D", "")) << 10;
  }
}
