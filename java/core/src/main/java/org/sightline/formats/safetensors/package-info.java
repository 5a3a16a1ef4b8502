/** Weights in safetensors files, one or many with an index. */
package org.sightline.formats.safetensors;
