/** The command line: {@code doctor} and {@code finetune}. */
package org.sightline.vla.cli;
