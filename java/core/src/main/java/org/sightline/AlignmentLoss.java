package org.sightline;

import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The visual alignment loss: −mean over tokens of cos(projector(h), t) (Kachaev et al., arXiv
 * 2510.25616).
 */
public final class AlignmentLoss implements AutoCloseable {
  private final AlignmentProjector projector;
  private final Lifetime lifetime = new Lifetime("AlignmentLoss");

  /** Uses {@code projector}, which stays the caller's to close, and must outlive this object. */
  public AlignmentLoss(AlignmentProjector projector) {
    this.projector = Objects.requireNonNull(projector, "projector");
  }

  /**
   * What one call yields.
   *
   * @param loss scalar fp32, differentiable
   * @param cosine [B,N] fp32, detached: cos(projector(h), t) of every token
   */
  public record Result(Tensor loss, Tensor cosine) {}

  /** As the longer form, every token with weight 1. */
  public Result forward(Tensor hiddenStates, long firstToken, Tensor teacherFeatures) {
    return forward(hiddenStates, firstToken, teacherFeatures, null);
  }

  /**
   * Computes the loss of the tokens {@code firstToken … firstToken + N - 1}.
   *
   * @param hiddenStates [B,S,D] fp32 or bf16; its gradient is zero at other tokens
   * @param firstToken position of the first image token
   * @param teacherFeatures [B,N,Z] fp32 or bf16, receives no gradient
   * @param tokenWeights [B,N] fp32 weights ≥ 0 in loss = −Σ m cos / Σ m, or null for 1
   */
  public Result forward(
      Tensor hiddenStates, long firstToken, Tensor teacherFeatures, Tensor tokenWeights) {
    lifetime.check();
    try (PointerScope scope = new PointerScope()) {
      long tokens = teacherFeatures.size(1);
      Tensor h = hiddenStates.narrow(1, firstToken, tokens).to(ScalarType.Float);
      h =
          torch.layer_norm(
              h,
              new long[] {projector.config().hiddenSize()},
              new TensorOptional(projector.parameter("net.0.weight")),
              new TensorOptional(projector.parameter("net.0.bias")),
              AlignmentProjector.LAYER_NORM_EPSILON,
              false);
      Tensor a1 = torch.silu(linear(h, "net.1"));
      Tensor a2 = torch.silu(linear(a1, "net.4"));
      Tensor z = linear(a2, "net.7");
      Tensor t = teacherFeatures.detach().to(ScalarType.Float);
      Tensor cosine = torch.cosine_similarity(z, t, -1, 1e-12);
      Tensor loss =
          tokenWeights == null
              ? cosine.mean().neg()
              : cosine.mul(tokenWeights).sum().div(tokenWeights.sum()).neg();
      Result result = new Result(Tensors.own(loss), Tensors.own(cosine.detach()));
      return result;
    }
  }

  private Tensor linear(Tensor x, String name) {
    return torch.linear(
        x,
        projector.parameter(name + ".weight"),
        new TensorOptional(projector.parameter(name + ".bias")));
  }

  @Override
  public void close() {
    lifetime.close();
  }
}
