/**
 * Frozen vision teachers: what the image tokens are aligned to.
 *
 * <p>A teacher is one safetensors file, weights and configuration together; {@link
 * org.sightline.vla.teacher.TeacherFile} documents it.
 */
package org.sightline.vla.teacher;
