package org.sightline.benchmarks;

import java.util.ArrayList;
import java.util.List;

/**
 * One task done by several contenders on the same inputs: Sightline, libtorch's operations through
 * the presets, and the floor.
 *
 * <p>Where libtorch's fp32 products are faster than its bf16 ones ({@link Bf16Products}), the
 * rivals of a bf16 task compute it in fp32 on weights converted beforehand, and are named so.
 */
abstract class Workload implements AutoCloseable {
  /** What a contender stands for in the table. */
  enum Role {
    SIGHTLINE,
    /** The same result from libtorch's own operations. */
    EAGER,
    /** The part no implementation can avoid, through libtorch's best call for it. */
    FLOOR
  }

  /**
   * One way to do the task.
   *
   * @param name of the column
   * @param work one execution, without set-up; leaves nothing behind
   */
  record Contender(String name, Role role, Runnable work) {}

  private final List<Contender> contenders = new ArrayList<>();

  /** Arena of everything that lives as long as the workload. */
  final Arena arena = new Arena();

  final void contender(String name, Role role, Runnable work) {
    contenders.add(new Contender(name, role, work));
  }

  final List<Contender> contenders() {
    return List.copyOf(contenders);
  }

  /** Runs the first contender of a role once: the best one, see the constructors. */
  final void run(Role role) {
    for (Contender contender : contenders) {
      if (contender.role() == role) {
        contender.work().run();
        return;
      }
    }
    throw new IllegalStateException(getClass().getSimpleName() + " has no contender " + role);
  }

  /** Draws new signed inputs; not timed. */
  abstract void refresh();

  /** Restores what an execution consumes; called before every timed sample, not timed. */
  void prepare() {}

  /** Floating-point operations of one execution, 0 if bytes are what counts. */
  double flops() {
    return 0;
  }

  /** Bytes that must be read and written in one execution, 0 if operations are what counts. */
  double bytes() {
    return 0;
  }

  /** Relative Frobenius distance between Sightline's results and libtorch's. */
  abstract double disagreement();

  /** What {@link #disagreement} may be, derived from the roundings of both. */
  abstract double tolerance();

  @Override
  public void close() {
    arena.close();
  }
}
