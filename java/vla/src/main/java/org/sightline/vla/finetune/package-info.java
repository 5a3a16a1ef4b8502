/** A fine-tuning job, what it is made from, and the folder of its run. */
package org.sightline.vla.finetune;
