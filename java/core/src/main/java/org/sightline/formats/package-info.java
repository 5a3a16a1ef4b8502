/**
 * The file formats of the ecosystem, byte for byte: {@code safetensors} weights, {@code peft}
 * adapters, {@code tfrecord} records, examples and event files, {@code json}; and {@code file}, how
 * files are opened, replaced and locked.
 *
 * <p>Nothing here knows of a model: tensors go in and come out by name. Reading trusts nothing: a
 * malformed file gives a {@link org.sightline.formats.FormatException} that names the file, the
 * key, what was found and what was expected.
 */
package org.sightline.formats;
