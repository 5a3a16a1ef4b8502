/** OpenVLA in Hugging Face folders: read, written, merged with an adapter. */
package org.sightline.vla.checkpoint;
