package org.sightline;

/** How the down projection A starts; B always starts at zero, so that nothing changes at first. */
public enum LoraInit {
  /** Uniform in ±√(1/K), PyTorch's default for linear layers and PEFT's {@code true}. */
  KAIMING_UNIFORM,
  /** Normal with standard deviation 1/r: PEFT's {@code "gaussian"}, used by OpenVLA. */
  GAUSSIAN
}
