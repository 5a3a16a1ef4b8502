package org.sightline.benchmarks;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.AdamWOptions;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.AdamW;

/**
 * One AdamW step over all adapter tensors in fp32, with global-norm clipping before and zeroing of
 * the gradients after it.
 *
 * <p>The contenders share parameters and gradients, each has its own moments. The floor is a copy
 * that moves 28 bytes a parameter: p, g, m, v read and p, m, v written.
 */
final class AdamWWorkload extends Workload {
  private static final double LEARNING_RATE = 5e-4;
  private static final double WEIGHT_DECAY = 1e-2;
  private static final double MAX_GRAD_NORM = 1;
  private static final int CHECKED_STEPS = 3;

  /** Longest piece of the floor's copy, in floats: far more than any cache, little memory. */
  private static final long COPIED_AT_ONCE = 32L << 20;

  /** Offsets into the noise, so that every step sees other gradients. */
  private static final int NOISE_SLACK = 4099;

  private final AdamWShape shape;
  private final List<Tensor> parameters = new ArrayList<>();
  private final List<Tensor> gradients = new ArrayList<>();
  private final Tensor noise;
  private long draw;

  /**
   * Draws parameters.
   *
   * @param rivalsOnly leaves Sightline out, not even loading its classes' natives
   */
  AdamWWorkload(AdamWShape shape, boolean rivalsOnly) {
    this.shape = shape;
    long largest = shape.elements().stream().mapToLong(Long::longValue).max().orElse(0);
    try (PointerScope scope = new PointerScope()) {
      noise = arena.keep(Torch.randn(1e-2, ScalarType.Float, largest + NOISE_SLACK));
      for (long size : shape.elements()) {
        Tensor parameter = arena.keep(Torch.randn(0.02, ScalarType.Float, size));
        parameter.set_requires_grad(true);
        // One backward pass, so that every parameter has a gradient buffer of its own.
        parameter.mul(new Scalar(1.0)).sum().backward();
        parameters.add(parameter);
        gradients.add(arena.keep(parameter.grad()));
      }
      if (!rivalsOnly) {
        contender("sightline", Role.SIGHTLINE, fused());
      }
      contender("libtorch fused AdamW", Role.EAGER, libtorchFused());
      contender("libtorch AdamW", Role.EAGER, libtorch());
      contender("copy", Role.FLOOR, copy());
    }
    prepare();
  }

  private Runnable fused() {
    AdamW adamW =
        arena.closing(
            new AdamW(
                parameters,
                AdamW.Config.defaults()
                    .withLearningRate(LEARNING_RATE)
                    .withWeightDecay(WEIGHT_DECAY)
                    .withMaxGradNorm(MAX_GRAD_NORM)));
    return adamW::step;
  }

  /** torch::optim::AdamW, the optimizer a Java trainer on the presets would use. */
  private Runnable libtorch() {
    TensorVector list = arena.keep(Torch.vector(parameters));
    AdamWOptions options = new AdamWOptions(LEARNING_RATE);
    options.weight_decay().put(WEIGHT_DECAY);
    org.bytedeco.pytorch.AdamW optimizer =
        arena.keep(new org.bytedeco.pytorch.AdamW(list, options));
    return () -> {
      try (PointerScope scope = new PointerScope()) {
        torch.clip_grad_norm_(list, MAX_GRAD_NORM);
        optimizer.step();
        optimizer.zero_grad(false);
      }
    };
  }

  private Runnable libtorchFused() {
    TorchFusedAdamW optimizer =
        arena.closing(
            new TorchFusedAdamW(parameters, gradients, LEARNING_RATE, WEIGHT_DECAY, MAX_GRAD_NORM));
    return optimizer::step;
  }

  private Runnable copy() {
    long total = shape.parameters() * 28 / (2 * Float.BYTES);
    long piece = Math.min(total, COPIED_AT_ONCE);
    Tensor from = arena.keep(Torch.randn(1, ScalarType.Float, piece));
    Tensor to = arena.keep(Torch.empty(ScalarType.Float, piece));
    return () -> {
      try (PointerScope scope = new PointerScope();
          NoGradGuard noGrad = new NoGradGuard()) {
        long left = total;
        for (; left >= piece; left -= piece) {
          to.copy_(from);
        }
        if (left > 0) {
          to.narrow(0, 0, left).copy_(from.narrow(0, 0, left));
        }
      }
    };
  }

  /** New gradients come with every {@link #prepare}. */
  @Override
  void refresh() {}

  /** Gradients that the last step has zeroed: left so, the moments would become denormal. */
  @Override
  void prepare() {
    fillGradients(draw++);
  }

  private void fillGradients(long seed) {
    try (PointerScope scope = new PointerScope();
        NoGradGuard noGrad = new NoGradGuard()) {
      for (int i = 0; i < gradients.size(); i++) {
        Tensor gradient = gradients.get(i);
        long offset = (seed * 1009 + i * 37L) % NOISE_SLACK;
        gradient.copy_(noise.narrow(0, offset, gradient.numel()));
      }
    }
  }

  @Override
  double bytes() {
    return 28.0 * shape.parameters();
  }

  /** Distance of the updates after a few steps; to be called before any contender has run. */
  @Override
  double disagreement() {
    try (PointerScope scope = new PointerScope()) {
      List<Tensor> start = snapshot();
      List<Tensor> ours = null;
      double largest = 0;
      for (Contender contender : contenders()) {
        if (contender.role() == Role.FLOOR) {
          continue;
        }
        for (int step = 0; step < CHECKED_STEPS; step++) {
          fillGradients(step);
          contender.work().run();
        }
        List<Tensor> moved = snapshot();
        for (int i = 0; i < moved.size(); i++) {
          Torch.copy(start.get(i), parameters.get(i));
          moved.set(i, moved.get(i).sub(start.get(i)));
        }
        if (contender.role() == Role.SIGHTLINE) {
          ours = moved;
        } else {
          largest = Math.max(largest, Torch.relativeError(ours, moved));
        }
      }
      return largest;
    }
  }

  private List<Tensor> snapshot() {
    try (NoGradGuard noGrad = new NoGradGuard()) {
      List<Tensor> copies = new ArrayList<>();
      parameters.forEach(parameter -> copies.add(parameter.detach().clone()));
      return copies;
    }
  }

  @Override
  double tolerance() {
    return Precision.FP32.tolerance;
  }
}
