package org.sightline;

import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** How the down projection A starts; B always starts at zero, so that nothing changes at first. */
public enum LoraInit {
  /** Uniform in ±√(1/K), PyTorch's default for linear layers and PEFT's {@code true}. */
  KAIMING_UNIFORM,
  /** Normal with standard deviation 1/r: PEFT's {@code "gaussian"}, used by OpenVLA. */
  GAUSSIAN;

  /**
   * A [r,K], drawn on the CPU in fp32, so that a seed means the same for every device and dtype.
   */
  public Tensor draw(long rank, long columns, long seed) {
    Tensor a = torch.empty(rank, columns);
    GeneratorOptional generator = new GeneratorOptional(torch.createCPUGenerator(seed));
    double bound = 1 / Math.sqrt(columns);
    return switch (this) {
      case KAIMING_UNIFORM -> a.uniform_(-bound, bound, generator);
      case GAUSSIAN -> a.normal_(0, 1.0 / rank, generator);
    };
  }
}
