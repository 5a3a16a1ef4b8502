package org.sightline;

/**
 * What can compute on this machine: the CPU, or CUDA devices.
 *
 * @param name {@code "cpu"} or {@code "cuda"}
 * @param isAvailable whether tensors on it can be computed with
 * @param unavailabilityCause why not, in words; empty when available
 * @param implementation CPU: the instruction set in use, such as {@code "avx2"}; CUDA: the name of
 *     device 0
 * @param deviceCount number of devices; 1 for the CPU
 * @param maxThreads OpenMP's default number of threads; 0 for CUDA
 * @param nativeBfloat16 whether bf16 products run on bf16 hardware
 */
public record Backend(
    String name,
    boolean isAvailable,
    String unavailabilityCause,
    String implementation,
    int deviceCount,
    int maxThreads,
    boolean nativeBfloat16) {

  /**
   * Returns this backend if it is available.
   *
   * @throws UnsupportedOperationException with the cause if it is not
   */
  public Backend ensureAvailable() {
    if (!isAvailable) {
      throw new UnsupportedOperationException(
          "backend " + name + " is not available: " + unavailabilityCause);
    }
    return this;
  }
}
