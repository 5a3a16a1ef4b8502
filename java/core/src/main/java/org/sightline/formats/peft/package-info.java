/** LoRA adapters as PEFT saves them. */
package org.sightline.formats.peft;
