/** A fine-tuned policy that acts. */
package org.sightline.vla.policy;
