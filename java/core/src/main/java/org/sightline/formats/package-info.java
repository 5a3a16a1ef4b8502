/**
 * The file formats of the ecosystem, byte for byte: safetensors files and PEFT adapter directories.
 *
 * <p>Nothing here knows of a model: tensors go in and come out by name. Reading trusts nothing: a
 * malformed file gives a {@link org.sightline.formats.FormatException} that names the file, the
 * key, what was found and what was expected.
 */
package org.sightline.formats;
