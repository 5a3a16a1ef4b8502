/** The command line: it parses, calls {@code sightline-vla} and prints. */
package org.sightline.vla.cli;
