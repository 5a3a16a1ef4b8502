/**
 * What the kernels cost beside libtorch's operations and beside the floor no implementation can go
 * under: the bare matrix products, or a copy of the same bytes.
 *
 * <p>A {@link org.sightline.benchmarks.Workload} holds the contenders of one task. The JMH classes
 * time each alone; {@link org.sightline.benchmarks.RatioTable} times them in turn inside one
 * process, which is what a claim about a ratio needs.
 */
package org.sightline.benchmarks;
