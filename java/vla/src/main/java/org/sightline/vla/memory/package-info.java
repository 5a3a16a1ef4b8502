/**
 * What a training step keeps in memory, by arithmetic: every tensor with its shape, dtype and
 * bytes, before anything is allocated.
 */
package org.sightline.vla.memory;
